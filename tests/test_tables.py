"""The paper's tables with our numbers beside the paper's: layout, text, files."""

import json

import pandas as pd
import pytest
from made_up import made_results

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.report import tables
from advunlearn_lib.report.reported import Result, reported

ESTIMATE = Estimate(value=1, low=0, high=2, n=60)


def shown_table(results):
    return tables.layout(results, "judge-object", dict.fromkeys({result.row for result in results}, ESTIMATE))


def test_the_layout_is_the_papers():
    table = shown_table(made_results())
    assert list(table.columns) == [
        "DM", "Optimised component", "pre-ASR (%)", "ASR (%)", "FID (judge features)",
    ]  # fmt: skip
    assert list(table["DM"]) == ["SD v1.4", "ESD", "AdvUnlearn", "ESD", "AdvUnlearn"]
    assert list(table["Optimised component"]) == ["N/A", "UNet", "UNet", "Text Encoder", "Text Encoder"]
    assert table.iloc[1]["ASR (%)"] == "73.24 | 70.0 [60.0, 80.0]"
    assert table.iloc[1]["FID (judge features)"] == "18.18 | 12.0 [11.0, 13.0]"
    assert table.iloc[0]["pre-ASR (%)"] == "1.0 [0.0, 2.0]"


@pytest.mark.parametrize(("features", "label"), [
    ("inception", "FID (Inception features)"),
    ("judge-object", "FID (judge features)"),
    ("/some/folder/of/a/network", "FID (judge features)"),
])  # fmt: skip
def test_fid_is_labelled_by_its_features(features, label):
    assert tables.metric_label("fid", features) == label
    assert label in tables.layout(made_results(), features).columns


def test_files(tmp_path):
    results = made_results()
    table = shown_table(results)
    tables.write(results, table, tmp_path, "table3", "seed 0")
    again = pd.read_csv(tmp_path / "table3.csv", keep_default_na=False)
    assert tuple(again.columns) == tables.COLUMNS and len(again) == 10
    assert set(again.concept) == {"nudity"} and set(again.here) == {"weapon"}
    kept = json.loads((tmp_path / "table3.json").read_text())
    assert kept["stamp"] == "seed 0" and [Result(**cell) for cell in kept["cells"]] == results
    page = (tmp_path / "table3.md").read_text()
    bars = {line.replace("\\|", "").count("|") for line in page.splitlines()[:7]}
    assert bars == {len(table.columns) + 1}
    assert page.endswith("\n\nseed 0\n") and (tmp_path / "table3.tex").read_text().startswith("% seed 0\n")


def test_tables_across_attacks_and_concepts():
    table = tables.layout(made_results("9"), "judge-object")
    concepts = ["nudity (weapon)", "Van Gogh", "Church", "Parachute", "Tench", "Garbage Truck"]
    assert list(table.columns) == ["Attack", *concepts] and len(table) == 4
    methods = tables.layout(made_results("A5"), "judge-object")
    assert {"AdvUnlearn", "ESD", "FMN"} < set(methods.columns)


def test_a_cell_over_several_seeds_shows_their_spread():
    several = made_results()[0].model_copy(update={"seeds": [99.0, 101.0], "spread": 1.41})
    assert tables.text(several) == "100 | 100.0 [94.0, 100.0] ±1.4"


@pytest.mark.parametrize(("metric", "shown"), [
    ("asr", "7 | 1.2 [1.1, 1.3]"),
    ("clip", "7 | 1.234 [1.111, 1.333]"),
    ("seconds_per_iteration", "7 | 1.23 [1.11, 1.33]"),
])  # fmt: skip
def test_digits_suit_the_metric(metric, shown):
    numbers = {"metric": metric, "reported": 7, "reproduced": 1.234, "low": 1.111, "high": 1.333}
    assert tables.text(made_results()[0].model_copy(update=numbers)) == shown


def test_an_unknown_table_is_named():
    with pytest.raises(UserError, match="unknown table '33'; did you mean '3'"):
        reported("33")
