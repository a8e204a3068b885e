"""How the pocket profile's settings were chosen: the rule, the grid, the logs, a search to its end."""

import pandas as pd
import pytest

from advunlearn_lib.base.paths import PUBLISHED
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.pocket import tuning
from advunlearn_lib.pocket.tuning import GRID, VALIDATION, choose_budget, choose_setting, finished, settings
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import MethodKey

LOGS = sorted(PUBLISHED.glob("pocket/tuning/*.csv"))


def test_best_fid_among_the_erased_else_the_lowest_success():
    log = pd.DataFrame({"success": [5, 20, 20.1], "fid": [9.0, 7.0, 1.0]}, index=[4, 5, 6])
    assert choose_setting(log) == 5
    assert choose_setting(pd.DataFrame({"success": [90, 60, 80], "fid": [1.0, 3.0, 2.0]})) == 1


def test_the_budget_grows_until_doubling_adds_less_than_two_points():
    assert choose_budget([50, 60, 61, 80]) == 1
    assert choose_budget([50, 49]) == 0
    assert choose_budget([50, 60, 70]) == 2


def test_a_log_keeps_the_methods_it_holds_whole(tmp_path):
    nothing = finished(tmp_path / "none.csv", "style")
    assert nothing.empty and {"method", "component"} <= set(nothing)
    columns = {"method": ["ESD"] * 4 + ["FMN"] * 3, "component": ["UNet"] * 7, "lr": range(7)}
    pd.DataFrame(columns).to_csv(tmp_path / "log.csv", index=False)
    assert finished(tmp_path / "log.csv", "style").method.tolist() == ["ESD"] * 4
    assert finished(tmp_path / "log.csv", "broad").empty  # there eight settings are whole


def test_every_method_searches_equally_many_settings():
    for kind, count in {"broad": 8, "style": 4, "object": 4}.items():
        assert {len(settings(key)) for key in POCKET.methods if key.kind == kind} == {count}
    assert settings(MethodKey("ESD", "UNet", "broad"))[1] == {"lr": 5e-5, "eta": 2.0}
    assert settings(MethodKey("ESD", "UNet", "style"))[1] == {"lr": 1e-4}
    assert {(key.method, key.component) for key in POCKET.methods} == set(GRID)


def test_the_validation_concepts_are_in_no_table():
    for kind, name in VALIDATION.items():
        concept = POCKET.concepts[name]
        assert concept.kind == kind and concept.paper == ""


def test_there_is_a_log_a_kind_and_one_of_the_budget():
    assert [log.stem for log in LOGS] == ["broad", "budget", "object", "style"]


@pytest.mark.parametrize("log", [log for log in LOGS if log.stem != "budget"], ids=lambda path: path.stem)
def test_the_profile_holds_what_the_log_chose(log):
    table = pd.read_csv(log, comment="#")
    keys = {MethodKey(*place, log.stem) for place in table[["method", "component"]].itertuples(index=False)}
    assert keys == {key for key in POCKET.methods if key.kind == log.stem}
    for key in keys:
        part = table[(table.method == key.method) & (table.component == key.component)]
        tried, chosen = settings(key), part.loc[choose_setting(part)]
        assert chosen.chosen and part.chosen.sum() == 1
        assert part[list(tried[0])].to_dict("records") == tried
        filled = METHODS[POCKET.methods[key].method].OPTIONS(**POCKET.methods[key].options)
        assert all(getattr(filled, name) == chosen[name] for name in tried[0]), key


def test_the_profile_holds_the_budget_that_the_log_chose():
    table = pd.read_csv(PUBLISHED / "pocket" / "tuning" / "budget.csv", comment="#")
    chosen = table.loc[choose_budget(table.asr.tolist())]
    assert chosen.chosen and table.chosen.sum() == 1
    assert (POCKET.attack_timesteps, POCKET.attack_steps) == (chosen.timesteps, chosen.steps)


SUCCESS = {1e-5: 60.0, 1e-4: 15.0, 1e-3: 5.0, "UCE": 90.0}
FID = {1e-4: 12.0, 1e-3: 30.0}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """A search of two methods with three and two settings, whose results are made up; what was measured."""
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    grid = {("ESD", "UNet"): {"lr": (1e-5, 1e-4, 1e-3)}, ("UCE", "UNet"): {"erase_scale": (0.1, 1.0)}}
    monkeypatch.setattr(tuning, "GRID", grid)
    asked = []

    def measure(trials, metric, desc):
        trials = list(trials)
        asked.append((metric, [trial.setting for trial in trials]))
        for trial in trials:  # each trial is a study of its own setting, on the validation concept
            options = trial.study.profile.methods[trial.key].options
            assert options.items() >= trial.setting.items()
            assert trial.cell(metric).row.concept == "monet" and trial.study.profile.fid_images == 300
        source = SUCCESS if metric == "pre_asr" else FID
        values = [source[trial.setting.get("lr", "UCE")] for trial in trials]
        return [Estimate(value=value, low=value - 1, high=value + 1, n=40) for value in values]

    monkeypatch.setattr(tuning, "measure", measure)
    keys = [key for key in POCKET.methods if key.kind == "style" and (key.method, key.component) in grid]
    profile = POCKET.model_copy(update={"methods": {key: POCKET.methods[key] for key in keys}})
    return profile, asked


def test_a_search_writes_its_log_and_marks_what_it_chose(measured, tmp_path):
    profile, asked = measured
    tuning.tune(profile, tmp_path / "tuning", ["style"])
    log = pd.read_csv(tmp_path / "tuning" / "style.csv", comment="#")
    assert log.method.tolist() == ["ESD", "ESD", "ESD", "UCE", "UCE"] and set(log.component) == {"UNet"}
    assert log.success.tolist() == [60, 15, 5, 90, 90]
    assert log.chosen.tolist() == [False, True, False, True, False]  # nothing of UCE erases: its lowest
    assert log.fid.dropna().tolist() == [12, 30] and log.fid_low.dropna().tolist() == [11, 29]
    rates, scales = [{"lr": 1e-5}, {"lr": 1e-4}, {"lr": 1e-3}], [{"erase_scale": 0.1}, {"erase_scale": 1.0}]
    assert asked == [("pre_asr", rates + scales), ("fid", rates[1:])]  # FID where the concept is erased
    text = (tmp_path / "tuning" / "style.csv").read_text()
    assert "# validation concept monet, seed 0, commit " in text


def test_a_search_goes_on_where_it_was_stopped(measured, tmp_path):
    profile, asked = measured
    tuning.tune(profile, tmp_path, ["style"])
    first = pd.read_csv(tmp_path / "style.csv", comment="#")
    half = first[:4]  # ESD whole, UCE half
    (tmp_path / "style.csv").write_text(half.to_csv(index=False) + "# a stamp\n")
    asked.clear()
    tuning.tune(profile, tmp_path, ["style"])
    assert asked == [("pre_asr", [{"erase_scale": 0.1}, {"erase_scale": 1.0}]), ("fid", [])]
    again = pd.read_csv(tmp_path / "style.csv", comment="#")
    pd.testing.assert_frame_equal(again[first.columns], first, check_dtype=False)
    asked.clear()
    tuning.tune(profile, tmp_path, ["style"])  # all is known
    assert asked == [("pre_asr", []), ("fid", [])]
    third = pd.read_csv(tmp_path / "style.csv", comment="#")
    pd.testing.assert_frame_equal(third[first.columns], first, check_dtype=False)
