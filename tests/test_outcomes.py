"""Every prompt's outcome, in one file that items are put into one by one."""

import pandas as pd
import pytest

from advunlearn_lib.attacks.records import AttackResult, result
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.report import Run, outcomes
from advunlearn_lib.report.reported import reported

COLUMNS = [
    *("item", "concept", "method", "component", "variant", "attack"),
    *("prompt", "seed", "before", "after", "adversarial", "step"),
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A quick run whose store has Table 1's attacks, and random tokens on its first model."""
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    run = Run(quick=True, out=tmp_path / "out")
    attacked = [number.cell for number in reported("1") if number.cell.metric == "asr"]
    for number, cell in enumerate([*attacked, attacked[0]._replace(attack="random")]):
        each = [
            result(EvaluationPrompt(f"a bow {seed}", seed), seed < number, True, f"cat, {number} a bow", seed)
            for seed in range(8)
        ]
        kept = AttackResult(prompts=each, flags=[]).model_dump()
        spec = run.study.protocol.cell(cell)
        run.study.store.cell(spec.KIND, spec.recipe, lambda _, kept=kept: kept)
    return run


def read(run):
    return pd.read_csv(run.folder / "outcomes.csv.xz", dtype=str, keep_default_na=False)


def test_each_prompt_under_each_attack_is_a_row(run):
    outcomes.write(run, ["table1"])
    table, cells = read(run), [number.cell for number in reported("1") if number.cell.metric == "asr"]
    assert list(table.columns) == COLUMNS and set(table.item) == {"table1"}
    for cell in cells:
        part = table[(table.method == cell.row.method) & (table.attack == cell.attack)]
        ours = run.study.attack(cell.row, cell.attack).prompts
        assert part[COLUMNS[6:]].values.tolist() == [
            [str(value) for value in one.model_dump().values()] for one in ours
        ]
    assert table.attack.value_counts().to_dict() == {"UnlearnDiffAtk": 24, "random": 8}


def test_an_item_run_again_replaces_its_own_rows_alone(run):
    outcomes.write(run, ["table1"])
    mine = read(run)
    other = mine.head(2).assign(item="table7", prompt='a "church", at\nnight')
    stale = mine.tail(1).assign(prompt="of yesterday")
    pd.concat([other, stale]).to_csv(run.folder / "outcomes.csv.xz", index=False)
    outcomes.write(run, ["table1", "figure2"])
    table = read(run)
    assert table.item.drop_duplicates().tolist() == ["table1", "table7"]  # in the paper's order
    pd.testing.assert_frame_equal(table[table.item == "table1"].reset_index(drop=True), mine)
    pd.testing.assert_frame_equal(table[table.item == "table7"].reset_index(drop=True), other)


def test_an_item_without_attacks_of_its_own_writes_nothing(run):
    outcomes.write(run, ["figure2"])
    assert not run.folder.exists() or not list(run.folder.iterdir())
