"""The paper's claims: two reported cells each, judged by the intervals of ours."""

import json

import pandas as pd
import pytest
from made_up import made_results

from advunlearn_lib.base.paths import PUBLISHED
from advunlearn_lib.paper import claims
from advunlearn_lib.paper.items import TABLES
from advunlearn_lib.paper.reported import Result, read_csv, reported
from advunlearn_lib.profiles.load import load_profile


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
    assert claims.count(claims.judge(made_results())) == "4 hold, 1 fail, 1 undecided of 6"


@pytest.mark.parametrize(("number", "left", "right", "expected"), [
    ("5.1", (20, 10, 30), (90, 80, 95), "holds"),  # AdvUnlearn's ASR < FMN's
    ("5.1", (90, 80, 95), (20, 10, 30), "fails"),
    ("5.1", (20, 10, 30), (35, 25, 45), "undecided"),
    ("5.1", (20, 10, 30), (40, 30, 50), "undecided"),  # ends that touch are not apart
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
    folder = PUBLISHED / "pocket"
    cells = [cell for name in TABLES for cell in json.loads((folder / f"{name}.json").read_text())["cells"]]
    judged = claims.judge([Result(**cell) for cell in cells])
    published = pd.read_csv(folder / "claims.csv", dtype={"id": str})
    assert published.id.tolist() == judged.id.tolist() == [claim.id for claim in claims.claims()]
    assert published.verdict.tolist() == judged.verdict.tolist()
    assert f"{claims.count(judged)}. A claim holds" in (folder / "claims.md").read_text()


def test_claims_page(tmp_path):
    claims.write(claims.judge(made_results()), tmp_path, "seed 0", "An ending.")
    table = pd.read_csv(tmp_path / "claims.csv")
    ends = [f"{side}{end}" for side in ("left", "right") for end in ("", "_low", "_high")]
    assert list(table.columns) == ["id", "verdict", *ends]
    page = (tmp_path / "claims.md").read_text()
    assert "4 hold, 1 fail, 1 undecided of 6" in page and "5 [2, 9]" in page
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


@pytest.mark.parametrize(("left", "relation", "right", "expected"), [
    ((1, 2), "<", (3, 4), "holds"),
    ((3, 4), "<", (1, 2), "fails"),
    ((1, 3), "<", (2, 4), "undecided"),
    ((3, 4), ">", (1, 2), "holds"),
    ((1, 2), ">", (3, 4), "fails"),
    ((1, 2), "<", (2, 3), "undecided"),
])  # fmt: skip
def test_verdicts(left, relation, right, expected):
    ends = [made_results()[0].model_copy(update={"low": low, "high": high}) for low, high in (left, right)]
    assert claims.verdict(ends[0], relation, ends[1]) == expected
