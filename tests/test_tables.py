import pandas as pd
import pytest

from advunlearn_lib.paper import tables


def frame(values):
    """Table 3 with made-up numbers: (method, component, metric) -> (value, low, high)."""
    reported = tables.read("reported.csv")
    cells = reported[reported.table == "3"].to_dict("records")
    rows = []
    for cell in cells:
        value, low, high = values[(cell["method"], cell["component"], cell["metric"])]
        extra = {
            "concept": "nudity (weapon)",
            "reported": cell["value"],
            "reproduced": value,
            "low": low,
            "high": high,
            "n": 60,
            "key": "k",
        }
        rows.append(cell | extra)
    return pd.DataFrame(rows)[tables.COLUMNS]


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


def test_claims_are_judged_by_intervals():
    verdicts = tables.claims(frame(VALUES)).set_index("id").verdict.to_dict()
    assert verdicts == {"1.1": "holds", "2.3": "undecided", "3.1": "fails", "3.2": "holds", "3.3": "holds", "3.4": "holds"}


def test_every_claim_of_tables_1_to_3_names_reported_cells():
    for claim in tables.read("claims.csv").query("item in ['1', '2', '3']").to_dict("records"):
        for end in ("left", "right"):
            where = tables.side(claim[end], claim["item"], claim["metric"])
            cells = tables.read("reported.csv")
            match = cells[
                (cells[tables.PLACE] == pd.Series(where)).all(axis=1) & (cells.table == claim["item"]) & (cells.metric == claim["metric"])
            ]
            assert match.value.item() == claim[f"reported_{end}"]


def test_layout_and_files(tmp_path):
    data = frame(VALUES)
    pretty = tables.layout(data)
    assert list(pretty["DM"]) == ["SD v1.4", "ESD", "AdvUnlearn", "ESD", "AdvUnlearn"]
    assert pretty.iloc[1]["ASR (%)"] == "73.24 | 70.0 [60.0, 80.0]"
    tables.write(data, pretty, tmp_path, "table3", "seed 0")
    again = pd.read_csv(tmp_path / "table3.csv", keep_default_na=False)
    assert list(again.columns) == tables.COLUMNS and len(again) == 10
    assert "seed 0" in (tmp_path / "table3.md").read_text() and "% seed 0" in (tmp_path / "table3.tex").read_text()


@pytest.mark.parametrize(("left", "relation", "right", "expected"), [
    ((1, 2), "<", (3, 4), "holds"), ((3, 4), "<", (1, 2), "fails"), ((1, 3), "<", (2, 4), "undecided"), ((3, 4), ">", (1, 2), "holds"),
])  # fmt: skip
def test_verdicts(left, relation, right, expected):
    ends = [{"low": low, "high": high} for low, high in (left, right)]
    assert tables.verdict(ends[0], relation, ends[1]) == expected
