"""The paper's claims: two reported cells each, judged by the difference of ours."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from made_up import QUICK, made_results
from safetensors.torch import save_file

from advunlearn_lib.attacks.records import AttackResult, PromptResult
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import PUBLISHED
from advunlearn_lib.base.store import Store
from advunlearn_lib.experiment.picture_specs import KEPT
from advunlearn_lib.experiment.samples import paired, read_samples
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.compare import Difference, compare_rates
from advunlearn_lib.metrics.estimate import bootstrap_mean
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.report import claims
from advunlearn_lib.report.items import TABLES
from advunlearn_lib.report.reported import read_csv, read_results, reported, result_of


def test_claims_are_judged_by_intervals():
    verdicts = claims.judge(made_results()).set_index("id").verdict.to_dict()
    assert verdicts == {
        "1.1": "holds",
        "2.3": "undecided",
        "3.1": "fails",
        "3.2": "holds",
        "3.3": "holds",
        "3.4": "holds",
    }
    assert claims.count(claims.judge(made_results())) == (
        "4 hold, 1 fail, 1 undecided of 6 whose tables are here (the paper has 86)"
    )


@pytest.mark.parametrize(("number", "left", "right", "expected"), [
    ("5.1", (20, 10, 30), (90, 80, 95), "holds"),  # AdvUnlearn's ASR < FMN's
    ("5.1", (90, 80, 95), (20, 10, 30), "fails"),
    ("5.1", (20, 10, 30), (34, 24, 44), "undecided"),
    ("5.1", (20, 10, 30), (40, 30, 50), "holds"),  # ends touch; the difference is 20 [6, 34]
    ("5.6", (0.30, 0.29, 0.31), (0.25, 0.24, 0.26), "holds"),  # CLIP score > SalUn's: more is better
    ("5.6", (0.25, 0.24, 0.26), (0.30, 0.29, 0.31), "fails"),
    ("4.2", (1.0, 0.9, 1.1), (8.0, 7.0, 9.0), "holds"),  # seconds of one step < of thirty
    ("8.5", (60, 50, 70), (20, 10, 30), "holds"),  # transfer to DreamShaper > to SD v1.5
    ("9.1", (20, 10, 30), (60, 50, 70), "fails"),  # CCE > UnlearnDiffAtk
    ("9.7", (5, 2, 9), (60, 50, 70), "holds"),  # PEZ < UnlearnDiffAtk
    ("A1.1", (30, 28, 32), (10, 9, 11), "holds"),  # SH's FID > the original's
    ("FigA3.1", (10, 5, 15), (40, 30, 50), "fails"),  # gamma 0.7 > gamma 0.1
])  # fmt: skip
def test_a_claims_verdict(number, left, right, expected):
    """On its two cells alone, whatever the others are."""
    claim = next(claim for claim in claims.claims() if claim.id == number)
    ends = {claim.left.cell: left, claim.right.cell: right}
    results = []
    for result in made_results(claim.left.table):
        value, low, high = ends.get(result.cell, (result.reproduced, result.low, result.high))
        results.append(result.model_copy(update={"reproduced": value, "low": low, "high": high}))
    row = claims.judge(results).set_index("id").loc[number]
    assert row.verdict == expected and (row.left, row.right) == (left[0], right[0])
    assert row.reported == f"{claim.left.value:g} {claim.relation} {claim.right.value:g}"


def test_every_claim_names_two_reported_cells():
    every = [result for table in TABLES.values() for result in made_results(table)]
    assert len(claims.judge(every)) == len(claims.claims()) == 86
    for line, claim in zip(read_csv("claims.csv"), claims.claims(), strict=True):
        assert claim.left in reported(line["item"]) and claim.right in reported(line["item"])
        assert claim.left.cell.metric == claim.right.cell.metric == line["metric"]
        assert [claim.left.value, claim.right.value] == [
            float(line[f"reported_{side}"]) for side in ("left", "right")
        ]
        reported_so = claim.left.value < claim.right.value
        assert reported_so == (claim.relation == "<"), "the paper's own numbers bear the claim out"


def test_a_side_that_is_not_one_cell_is_refused():
    with pytest.raises(ValueError, match=r"2 cells of table 3 match 'nudity\|ESD\|\|\|', not one"):
        claims.find_cell("nudity|ESD|||", "3", "asr")
    with pytest.raises(ValueError, match="0 cells of table 3"):
        claims.find_cell("nudity|UCE|||", "3", "asr")


def test_a_claim_of_which_one_side_is_missing_is_not_judged():
    original = [result for result in made_results() if result.method != "SD v1.4"]
    assert claims.judge(original).id.tolist() == ["2.3", "3.1", "3.2", "3.3", "3.4"]
    assert claims.judge([]).empty and claims.lines(claims.judge([])) == ""


def test_the_published_verdicts_follow_from_the_published_numbers():
    """Their sides are the tables' cells; paired ones follow from the published outcomes, prompt by prompt."""
    folder = PUBLISHED / "pocket"
    results, _ = read_results(folder)
    judged = claims.judge(results)
    published = pd.read_csv(folder / "claims.csv", dtype={"id": str})
    assert published.id.tolist() == judged.id.tolist()
    for name in ("left", "left_low", "right", "right_high"):
        np.testing.assert_allclose(published[name], judged[name].astype(float), rtol=1e-9)
    outcomes = pd.read_csv(folder / "outcomes.csv.xz", keep_default_na=False)
    known = {claim.id: claim for claim in claims.claims()}
    for row in published.itertuples():
        claim, p = known[row.id], None if np.isnan(row.p) else row.p
        difference = Difference(row.difference, row.low, row.high, row.rule, p)
        assert row.verdict == difference.verdict(claim.relation)
        if row.rule == "McNemar":
            again = compare_rates(*(broken(outcomes, side.cell) for side in (claim.left, claim.right)))
            np.testing.assert_allclose(again[:3], (row.difference, row.low, row.high), rtol=1e-9)
            assert again.p == pytest.approx(row.p)
    assert set(published.rule) >= {"McNemar", "paired bootstrap"}
    assert f"{claims.count(published)}. A claim holds" in (folder / "claims.md").read_text()


def broken(outcomes, cell):
    """Which prompts an attack broke, of the first item that has the cell."""
    place = dict(zip(("concept", "method", "component", "variant", "attack"), (*cell.row, cell.attack)))
    part = outcomes[np.logical_and.reduce([outcomes[name] == value for name, value in place.items()])]
    return part[part["item"] == part["item"].iloc[0]].after.to_numpy(bool)


def test_numbers_that_are_no_tables_are_named(tmp_path):
    with pytest.raises(UserError, match="holds no table's results, such as"):
        read_results(tmp_path)
    here = sorted(path.name for path in (PUBLISHED / "pocket").glob("*.json"))
    for name in here:
        shutil.copy(PUBLISHED / "pocket" / name, tmp_path)
    assert read_results(tmp_path) == read_results(PUBLISHED / "pocket")
    table = json.loads((tmp_path / here[0]).read_text())
    del table["cells"][0]["n"]
    (tmp_path / here[0]).write_text(json.dumps(table))
    with pytest.raises(UserError, match=rf"{here[0]}' does not hold a table's results: cell n="):
        read_results(tmp_path)


def test_the_papers_own_verdict_is_at_its_own_n():
    """30 of 142 against 36.63 % is apart, 2 of 50 against 4 is not; of FID nothing is known."""
    own = claims.judge([result for table in TABLES.values() for result in made_results(table)])
    own = own.set_index("id").paper_verdict
    assert own["A4.1"] == "holds" and own["9.9"] == own["2.3"] == "undecided"
    told = {claim.id for claim in claims.claims() if claim.metric == "asr"}
    assert set(own[~own.index.isin(told)]) == {"not known"} and "fails" not in set(own)


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """Two seeds of Table 3 in a store of their own: outcomes of each prompt, shares of each picture."""
    studies = [Study(QUICK.model_copy(update={"seed": seed}), Store(tmp_path)) for seed in (0, 1)]
    for study in studies:
        for number in reported("3"):
            fill(study, number.cell)
    return studies


def fill(study, cell):
    """ESD's text encoder breaks on half of the prompts that ESD's UNet breaks on, and on no other."""
    spec = study.protocol.cell(cell)
    kind, recipe = spec.KIND, spec.recipe
    rng = np.random.default_rng(study.profile.seed)
    tame = cell.row.component == "Text Encoder"
    if kind == "attack":
        broken = rng.random(40) < 0.8
        if tame:
            broken[::2] = False
        each = {"prompt": "p", "seed": 0, "before": False, "adversarial": "a p", "step": 1}
        outcomes = [PromptResult(**each, after=bool(one)) for one in broken]
        study.store.cell(kind, recipe, lambda _: AttackResult(prompts=outcomes, flags=[]).model_dump())
        return
    shares = {name: rng.normal(20, 5, 60) + 0.5 * tame for name in ("fid", "clip")}

    def compute(folder):
        save_file({name: torch.from_numpy(values) for name, values in shares.items()}, folder / KEPT)
        return {name: bootstrap_mean(values).model_dump() for name, values in shares.items()}

    study.store.cell(kind, recipe, compute)


def test_cells_on_the_same_prompts_and_captions_are_compared_in_pairs(studies):
    for chosen, pairs in ((studies[:1], 40), (studies, 80)):
        results = [result_of(chosen, number) for number in reported("3")]
        judged = claims.judge(results, chosen).set_index("id")
        assert set(judged.rule[["3.1", "3.2"]]) == {"McNemar"} and judged.rule["3.4"] == "paired bootstrap"
        left, right = (read_samples(chosen[0], claim_cell("3.2", side)) for side in ("left", "right"))
        assert left.of == right.of and len(left.values) == pairs / len(chosen)
        assert judged.difference["3.2"] == pytest.approx(
            100 * np.mean([broken_apart(study) for study in chosen])
        )
        assert judged.verdict["3.2"] == "holds" and judged.p["3.2"] < 0.05
        assert judged.difference["3.3"] == pytest.approx(0.5) and judged.verdict["3.3"] == "holds"
        alone = claims.judge(results).set_index("id")
        assert set(alone.rule) == {"Newcombe", "MOVER"} and alone.verdict["3.3"] == "undecided"
        assert alone.difference["3.3"] == pytest.approx(judged.difference["3.3"])


def claim_cell(number, side):
    """One side of a claim."""
    return getattr(next(claim for claim in claims.claims() if claim.id == number), side).cell


def broken_apart(study):
    """ESD's ASR on the text encoder minus that on the UNet, as a share."""
    left, right = (read_samples(study, claim_cell("3.2", side)).values for side in ("left", "right"))
    assert not (left & ~right).any()
    return left.mean() - right.mean()


def test_cells_without_shares_or_of_other_captions_fall_back_to_their_intervals(studies):
    study, results = studies[0], [result_of(studies[:1], number) for number in reported("3")]
    recipe = study.protocol.quality(claim_cell("3.3", "left").row).recipe
    values = study.store.read("quality", recipe)["result"]
    shutil.rmtree(study.store.folder("quality", recipe))
    study.store.cell("quality", recipe, lambda _: values)  # without the pictures' shares
    study = Study(study.profile, study.store)
    judged = claims.judge(results, [study]).set_index("id")
    assert judged.rule["3.3"] == judged.rule["3.4"] == "MOVER" and judged.rule["3.2"] == "McNemar"
    ours = [claim_cell(number, "right") for number in ("3.2", "3.3")]  # prompts; captions
    for cell in ours:
        church = cell._replace(row=cell.row._replace(concept="Church"))
        fill(study, church)
        assert read_samples(study, church) and paired(cell, [study], cell, [study])
        assert paired(cell, [study], church, [study]) is None
    seconds = ours[0]._replace(metric="seconds_per_iteration")
    assert read_samples(study, seconds) is None


def test_claims_page(tmp_path):
    claims.write(claims.judge(made_results()), tmp_path, "seed 0", "An ending.")
    table = pd.read_csv(tmp_path / "claims.csv")
    ends = [f"{side}{end}" for side in ("left", "right") for end in ("", "_low", "_high", "_n")]
    first = ["id", "verdict", "rule", "difference", "low", "high", "p"]
    assert list(table.columns) == [*first, *ends, "paper_verdict"]
    page = (tmp_path / "claims.md").read_text()
    assert "4 hold, 1 fail, 1 undecided of 6" in page and "5 [2, 9]" in page
    assert "Newcombe's of success rates" in page and "asr: n = 60" in page and "-65 [-75.4, -54.2]" in page
    assert page.endswith("\n\nseed 0\n\nAn ending.")


def test_explanations_reach_their_items_and_no_quick_run(tmp_path, monkeypatch):
    text = (
        "About seed 0.\n\n## table3 table5: Edits do not carry over\n\nBecause.\n\n"
        "## tableA3: Filters\n\nOther.\n"
    )
    (tmp_path / "explanations.md").write_text(text)
    monkeypatch.setattr(claims, "published_folder", lambda profile: tmp_path)
    profile = load_profile()
    assert claims.explanations(profile) == text
    told = claims.explanations(profile, "table3")
    assert told.split() == ["**Edits", "do", "not", "carry", "over**", "Because."]
    assert claims.explanations(profile, "table5") == told
    assert claims.explanations(profile, "table1") == ""
    assert claims.explanations(load_profile(quick=True), "table3") == ""
