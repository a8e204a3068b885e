import json

import pandas as pd
import pytest

from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.paper import claims
from advunlearn_lib.paper.items import FIGURES, ITEMS, TABLES
from advunlearn_lib.profiles.load import profile
from advunlearn_lib.profiles.pocket import POCKET

VALUES = {
    ("SD v1.4", "", "asr"): (100, 94, 100),
    ("SD v1.4", "", "fid"): (10, 9, 11),
    ("ESD", "UNet", "asr"): (70, 60, 80),
    ("ESD", "UNet", "fid"): (12, 11, 13),
    ("AdvUnlearn", "UNet", "asr"): (60, 50, 70),
    ("AdvUnlearn", "UNet", "fid"): (13, 12, 14),
    ("ESD", "Text Encoder", "asr"): (5, 2, 9),
    ("ESD", "Text Encoder", "fid"): (40, 38, 42),
    ("AdvUnlearn", "Text Encoder", "asr"): (85, 80, 90),
    ("AdvUnlearn", "Text Encoder", "fid"): (14, 13, 15),
}


def records(table="3", values=VALUES):
    """A table with made-up numbers: (method, component, metric) -> (value, low, high)."""
    made = []
    for cell in cells.reported(table):
        value, low, high = values.get((cell["method"], cell["component"], cell["metric"]), (50, 40, 60))
        ours = {
            "reproduced": value,
            "low": low,
            "high": high,
            "n": 60,
            "key": "k",
            "seeds": [value],
            "spread": 0.0,
            "commit": "c",
        }
        made.append(cell | {"reported": cell.pop("value")} | ours)
        made[-1]["concept"] = {"nudity": "nudity (weapon)"}.get(cell["concept"], cell["concept"])
    return made


def test_claims_are_judged_by_intervals():
    verdicts = claims.judge(records()).set_index("id").verdict.to_dict()
    assert verdicts == {
        "1.1": "holds",
        "2.3": "undecided",
        "3.1": "fails",
        "3.2": "holds",
        "3.3": "holds",
        "3.4": "holds",
    }
    assert claims.count(claims.judge(records())) == "4 hold, 1 fail, 1 undecided of 6"


def test_every_claim_names_two_reported_cells():
    every = [record for table in TABLES.values() for record in records(table)]
    judged = claims.judge(every)
    assert len(judged) == len(cells.read("claims.csv")) == 86
    for claim in cells.read("claims.csv").to_dict("records"):
        for end in ("left", "right"):
            where, table = claims.side(claim[end], claim["item"], claim["metric"]), cells.read("reported.csv")
            match = table[
                (table[cells.PLACE] == pd.Series(where)).all(axis=1) & (table.metric == claim["metric"])
            ]
            assert match[match.table == claim["item"]].value.item() == claim[f"reported_{end}"]


def test_claims_page(tmp_path):
    claims.write(claims.judge(records()), tmp_path, "seed 0")
    table = pd.read_csv(tmp_path / "claims.csv")
    assert list(table.columns) == [
        "id",
        "verdict",
        "left",
        "left_low",
        "left_high",
        "right",
        "right_low",
        "right_high",
    ]
    page = (tmp_path / "claims.md").read_text()
    assert "4 hold, 1 fail, 1 undecided of 6" in page and "5 [2, 9]" in page and "seed 0" in page


def test_explanations_reach_their_items_and_no_quick_run(tmp_path, monkeypatch):
    text = "About seed 0.\n\n## table3 table5: Edits do not carry over\n\nBecause.\n\n## tableA3: Filters\n\nOther.\n"
    (tmp_path / "figures" / "pocket").mkdir(parents=True)
    (tmp_path / "figures" / "pocket" / "explanations.md").write_text(text)
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    settings = profile("pocket")
    assert claims.why(settings) == text
    assert claims.why(settings, "table3").split() == ["**Edits", "do", "not", "carry", "over**", "Because."]
    assert claims.why(settings, "table1") == "" == claims.why(profile("pocket", quick=True), "table3")


def test_layout_and_files(tmp_path):
    data = records()
    pretty = cells.layout(data, dict.fromkeys({cells.cell_of(record).row for record in data}, "1 [0, 2]"))
    assert list(pretty["DM"]) == ["SD v1.4", "ESD", "AdvUnlearn", "ESD", "AdvUnlearn"]
    assert (
        pretty.iloc[1]["ASR (%)"] == "73.24 | 70.0 [60.0, 80.0]"
        and pretty.iloc[0]["pre-ASR (%)"] == "1 [0, 2]"
    )
    cells.write(data, pretty, tmp_path, "table3", "seed 0")
    again = pd.read_csv(tmp_path / "table3.csv", keep_default_na=False)
    assert list(again.columns) == cells.COLUMNS and len(again) == 10
    assert json.loads((tmp_path / "table3.json").read_text())["cells"] == data
    lines = (tmp_path / "table3.md").read_text().splitlines()[:7]
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(pretty.columns) + 1}
    assert (
        "seed 0" in (tmp_path / "table3.md").read_text()
        and "% seed 0" in (tmp_path / "table3.tex").read_text()
    )


def test_tables_across_attacks_and_concepts():
    pretty = cells.layout(records("9"))
    assert list(pretty.columns) == [
        "Attack",
        "nudity (weapon)",
        "Van Gogh",
        "Church",
        "Parachute",
        "Tench",
        "Garbage Truck",
    ]
    assert len(pretty) == 4
    several = records()[0] | {"seeds": [1.0, 3.0], "spread": 1.41}
    assert cells.text(several) == "100 | 100.0 [94.0, 100.0] ±1.4"


def test_every_cell_of_the_paper_has_a_recipe():
    recipes, seen = Recipes(POCKET), set()
    missing = set()
    for table in TABLES.values():
        for record in cells.reported(table):
            cell = cells.cell_of(record)
            if (
                cell.row.method in ("SD v1.5", "DreamShaper", "Protogen")
                and cell.row.method not in POCKET.bases
            ):
                missing.add(cell.row.method)
                continue
            kind, recipe = recipes.cell(cell)
            assert recipe["version"] and kind in ("erase", "attack", "quality")
            seen.add(cell.row)
    assert missing == set() and len(seen) > 70
    assert set(ITEMS) == {*TABLES, *FIGURES} and len(ITEMS) == 25


def test_cells_are_shared_between_tables():
    recipes = Recipes(POCKET)
    esd = [recipes.erase(Row("nudity", "ESD", component)) for component in ("", "UNet")]
    assert esd[0] == esd[1]
    variants = ("", "AT (30 steps)", "Prefix", "N=12", "COCO object, LLM filter")
    same = [Row("nudity", "AdvUnlearn", "Text Encoder", variant) for variant in variants]
    ours = recipes.erase(Row("nudity", "AdvUnlearn"))
    assert all(recipes.erase(row) == ours for row in [*same, Row("nudity", "SD v1.4", "", "Transfer")])
    base, original = Row("nudity", "SD v1.4"), Row("nudity", "SD v1.4", "", "Original")
    assert recipes.attack(original, "UnlearnDiffAtk") == recipes.attack(base, "UnlearnDiffAtk")


@pytest.mark.parametrize(("left", "relation", "right", "expected"), [
    ((1, 2), "<", (3, 4), "holds"), ((3, 4), "<", (1, 2), "fails"), ((1, 3), "<", (2, 4), "undecided"), ((3, 4), ">", (1, 2), "holds"),
])  # fmt: skip
def test_verdicts(left, relation, right, expected):
    ends = [{"low": low, "high": high} for low, high in (left, right)]
    assert claims.verdict(ends[0], relation, ends[1]) == expected
