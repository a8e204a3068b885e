"""What a notebook does with one item: its table, its warnings, its labels; and what a run says of itself."""

import pytest
from made_up import QUICK, fill_cells

from advunlearn_lib.attacks.records import AttackResult, PromptResult
from advunlearn_lib.base import progress
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report import Item, Run
from advunlearn_lib.report.items import FIGURES
from advunlearn_lib.report.reported import jobs_of, reported


@pytest.fixture
def item(own_store, tmp_path):
    return Item("table1", Run(quick=True, out=tmp_path / "out"))


def test_a_table_is_computed_written_and_judged(item, capsys, monkeypatch):
    table = item.table()
    assert len(item.results) == len(reported("1")) == 6 and len(table) == 3
    assert list(table.columns) == [
        "DM", "Optimised component", "pre-ASR (%)", "ASR (%)", "FID (judge features)",
    ]  # fmt: skip
    assert {path.suffix for path in item.folder.iterdir()} == {".csv", ".json", ".md", ".tex"}
    assert item.claims().id.tolist() == ["1.1", "1.2", "1.3"]
    lines = item.verdicts().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["1.1", "1.2", "1.3"]
    item.report()
    said = capsys.readouterr().out
    assert said.count("claim ") == 3 and item.stamp in said and "table1.csv, table1.json" in said
    assert item.explanations() == ""  # of a quick run
    monkeypatch.setattr(progress, "STYLE", "lines")  # a kernel that reproduce.sh started
    item.report()
    assert "table1.csv, table1.html, table1.ipynb, table1.json" in capsys.readouterr().out


def test_pre_asr_is_of_the_same_prompts_without_the_attack(item):
    for row, estimate in item.pre_asr().items():
        outcomes = item.study.attack(row).prompts
        assert estimate.n == len(outcomes) == QUICK.prompts
        assert estimate.value == pytest.approx(100 * sum(one.before for one in outcomes) / len(outcomes))


def test_pre_asr_over_seeds_is_the_mean_and_warnings_are_of_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    run = Run(quick=True, seeds=3, out=tmp_path / "out")
    fill_cells(tmp_path / "store", jobs_of(run.studies, "1"))
    several = Item("table1", run)
    for row, estimate in several.pre_asr().items():
        single = [study.estimate(Cell(row, "UnlearnDiffAtk", "pre_asr")) for study in run.studies]
        for end in ("value", "low", "high"):
            assert getattr(estimate, end) == pytest.approx(sum(getattr(one, end) for one in single) / 3)
    firsts = {row: run.study.estimate(Cell(row, "UnlearnDiffAtk", "pre_asr")) for row in several.rows()}
    assert several.pre_asr() != firsts
    recipe = run.studies[2].protocol.attack(several.rows()[1], "random").recipe
    lucky = PromptResult(prompt="x", seed=0, before=False, after=True, adversarial="y x", step=1)
    made = AttackResult(prompts=[lucky] * QUICK.prompts, flags=["odd"]).model_dump()
    run.study.store.cell("attack", recipe, lambda _: made)
    ours = run.studies[2].attack(several.rows()[1]).prompts
    flags = [flag for flag in several.flags() if "random tokens do better" in flag]
    assert [", UnlearnDiffAtk, seed 2: " in flag for flag in flags] == [True] * (
        0 if all(one.after for one in ours) else 1
    )


def test_luck_that_beats_the_attack_is_a_warning(item):
    row = next(row for row in item.rows() if row.method == "ESD")
    recipe = item.study.protocol.attack(row, "random").recipe
    before = item.flags()
    prompts = [
        PromptResult(prompt="x", seed=0, before=False, after=True, adversarial="y x", step=1)
    ] * QUICK.prompts  # fmt: skip
    item.study.store.cell("attack", recipe, lambda _: AttackResult(prompts=prompts, flags=[]).model_dump())
    rate = item.study.estimate(next(n.cell for n in reported("1") if n.cell.row == row)).value
    warning = (
        f"{' '.join(filter(None, row))}, UnlearnDiffAtk: random tokens do better (100.0 against {rate:.1f} %)"
    )
    assert set(item.flags()) - set(before) == ({warning} if rate < 100 else set())


def test_a_base_model_that_fails_at_the_concept_is_a_warning(item, monkeypatch):
    real = item.study.attack
    for count in (2, 0):

        def attack(row, name, count=count):
            outcomes = real(row, name)
            changed = [
                one.model_copy(update={"before": i >= count}) for i, one in enumerate(outcomes.prompts)
            ]
            return outcomes.model_copy(update={"prompts": changed})

        monkeypatch.setattr(item.study, "attack", attack)
        said = [flag for flag in item.flags() if "base model" in flag]
        fault = f"the base model does not show the concept ({count} of {QUICK.prompts} prompts)"
        assert said == [f"nudity SD v1.4, UnlearnDiffAtk: {fault}"] * (count > 0)


def test_flags_of_an_attack_name_its_model(item, monkeypatch):
    real = item.study.attack

    def attack(row, name):
        flags = ["no gradient"] if row.method == "AT-ESD" else []
        return real(row, name).model_copy(update={"flags": flags})

    monkeypatch.setattr(item.study, "attack", attack)
    (flag,) = [flag for flag in item.flags() if "gradient" in flag]
    assert flag.startswith("nudity AT-ESD") and flag.endswith(", UnlearnDiffAtk: no gradient")


def test_a_variants_label_stands_under_its_bar(own_store, tmp_path):
    run = Run(quick=True, out=tmp_path)
    layers = Item("figure8", run).variant_labels()
    assert layers == {f"N={n}": str(n) for n in (1, 2, 3, 4, 5, 9, 12)}
    gammas = Item("figureA3", run).variant_labels()
    assert gammas == {f"gamma={n / 10}": str(n / 10) for n in range(1, 8)}
    assert {Item(name, run).source for name in FIGURES} == set(FIGURES.values())


def test_an_item_that_the_paper_lacks_is_named(own_store, tmp_path):
    with pytest.raises(UserError, match="unknown item 'tabel1'; did you mean 'table1'"):
        Item("tabel1", Run(quick=True, out=tmp_path))
    with pytest.raises(UserError, match="seeds must be at least 1, not 0"):
        Run(seeds=0)
    with pytest.raises(UserError, match="unknown setting 'nonsense'"):
        Run(overrides="nonsense=1")
    assert Run(overrides="prompts=9").stamp == Run(overrides=["prompts=9"]).stamp
    assert Run(overrides="").stamp == Run().stamp


def test_a_stamp_says_what_was_changed_but_no_path_of_this_machine(own_store, tmp_path):
    run = Run("pocket", [f"base={POCKET.base}", "prompts=9"], seed=3, seeds=2, out=tmp_path)
    assert run.stamp.startswith("profile pocket, base=v1-4, prompts=9, seed 3..4, commit ")
    assert Run(quick=True, out=tmp_path).stamp.startswith("QUICK RUN, numbers mean nothing; profile pocket, ")


def test_a_row_without_a_component_is_its_methods_usual_one():
    assert Row("nudity", "AdvUnlearn").trained_component() == "Text Encoder"
    assert Row("nudity", "AdvUnlearn", "UNet").trained_component() == "UNet"
    assert {Row("nudity", method).trained_component() for method in ("ESD", "AT-ESD", "FMN")} == {"UNet"}
