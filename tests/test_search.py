"""How the pocket profile's settings are chosen: rules, grid, a search to its end, the budget, the logs."""

import pandas as pd
import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import PUBLISHED
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import MethodKey
from tools.pocket_model import search, search_budget
from tools.pocket_model.search import (
    CAP,
    GRID,
    VALIDATION,
    cap_of,
    choose_setting,
    options_of,
    read_log,
    settings,
    trial,
)
from tools.pocket_model.search_budget import choose_budget

ESD, ADV = MethodKey("ESD", "UNet", "object"), MethodKey("AdvUnlearn", "Text Encoder", "object")


def test_a_baseline_takes_the_best_fid_of_those_that_erase_unattacked():
    rows = pd.DataFrame({"success": [5, 20, 20.1], "fid": [9.0, 7.0, 1.0]}, index=[4, 5, 6])
    assert choose_setting(rows) == 5
    assert choose_setting(pd.DataFrame({"success": [90, 60, 80], "fid": [1.0, 3.0, 2.0]})) == 1


def test_a_method_tuned_against_the_attack_takes_the_lowest_asr_under_the_cap():
    rows = pd.DataFrame({"success": [0, 50, 0], "fid": [20.0, 11.0, 11.5], "asr": [1.0, 9.0, 8.0]})
    assert choose_setting(rows, cap=11.5) == 2
    assert choose_setting(rows, cap=10.0) == 1  # none is under it: the best FID


def test_the_budget_grows_until_doubling_adds_less_than_two_points():
    assert [choose_budget(asr) for asr in ([50, 60, 61, 80], [50, 49], [50, 60, 70])] == [1, 0, 2]


def test_every_method_searches_four_settings_and_every_prompt_has_equal_work():
    assert {len(settings(key)) for key in POCKET.methods} == {4}
    assert {key[:2] for key in POCKET.methods} == set(GRID)
    assert options_of({"lr": 1e-4, "work": 10}, 9) == {"lr": 1e-4, "iterations": 90}
    assert options_of({"erase_scale": 0.1}, 9) == {"erase_scale": 0.1}
    for kind, name in VALIDATION.items():
        concept = POCKET.concepts[name]
        assert concept.kind == kind and concept.paper == ""
        one = trial(POCKET, MethodKey("ESD", "UNet", kind), {"lr": 1e-4, "work": 10})
        iterations = one.study.profile.methods[one.key].options["iterations"]
        assert iterations / len(concept.erase) == 10
        tables = [c for c in POCKET.concepts.values() if c.kind == kind and c.paper]
        assert {len(c.erase) for c in tables} == {len(concept.erase)}  # so one number serves a kind


MADE_UP = {  # (method, lr, work): success, FID, ASR
    ("ESD", 1e-4, 5): (40, 9, None), ("ESD", 1e-4, 20): (15, 12, None),
    ("ESD", 3e-4, 5): (18, 10, None), ("ESD", 3e-4, 20): (2, 20, None),
    ("AdvUnlearn", 5e-5, 10): (30, 8, 60), ("AdvUnlearn", 5e-5, 30): (20, 11.4, 30),
    ("AdvUnlearn", 1e-4, 10): (10, 11, 40), ("AdvUnlearn", 1e-4, 30): (0, 11.6, 5),
}  # fmt: skip
NUMBER = {"pre_asr": 0, "fid": 1, "asr": 2}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """A search of two methods whose results are made up; what was measured."""
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    asked = []

    def measure(tried, metric):
        asked.extend((one.key.method, metric, *one.setting.values()) for one in tried)
        for one in tried:
            job, cell = one.job(metric), one.cell(metric)
            assert cell.row.concept == "guitar" and job.profile.fid_images == 300
            assert cell.attack == ("UnlearnDiffAtk" if metric == "asr" else "none")
            assert job.spec == one.study.protocol.cell(cell)
            iterations = job.profile.methods[one.key].options["iterations"]
            assert iterations == one.setting["work"] * 8
        values = [
            MADE_UP[one.key.method, one.setting["lr"], one.setting["work"]][NUMBER[metric]] for one in tried
        ]
        return [Estimate(value=value, low=value - 1, high=value + 1, n=60) for value in values]

    monkeypatch.setattr(search, "measure", measure)
    return POCKET.model_copy(update={"methods": {key: POCKET.methods[key] for key in (ADV, ESD)}}), asked


def test_a_search_writes_its_log_and_marks_what_it_chose(measured, tmp_path):
    profile, asked = measured
    search.search(profile, tmp_path, ["object"])
    log = read_log(tmp_path / "object.csv")
    assert log.method.tolist() == ["ESD"] * 4 + ["AdvUnlearn"] * 4  # ESD's UNet first
    assert log.success.tolist() == [40, 15, 18, 2, 30, 20, 10, 0]
    assert log.chosen.tolist() == [False, False, True, False, False, True, False, False]
    assert cap_of(log, ADV) == pytest.approx(CAP * 10)  # so 11.6 with ASR 5 is too dear
    assert log.fid.isna().tolist() == [True] + [False] * 7  # where the concept is not erased
    assert not [one for one in asked if one[:2] == ("ESD", "asr")]  # baselines know no attack
    assert "# validation concept guitar, seed 0, commit " in (tmp_path / "object.csv").read_text()


def test_a_search_goes_on_where_it_was_stopped(measured, tmp_path):
    profile, asked = measured
    search.search(profile, tmp_path, ["object"])
    first = read_log(tmp_path / "object.csv")
    (tmp_path / "object.csv").write_text(first[:6].to_csv(index=False) + "# a stamp\n")  # AdvUnlearn's half
    asked.clear()
    search.search(profile, tmp_path, ["object"])
    assert {one[0] for one in asked} == {"AdvUnlearn"}
    pd.testing.assert_frame_equal(read_log(tmp_path / "object.csv"), first, check_dtype=False)
    asked.clear()
    search.search(profile, tmp_path, ["object"])  # all is known
    assert asked == []


def test_nothing_is_tuned_against_the_attack_before_esd_is_chosen(measured, tmp_path):
    profile, asked = measured
    alone = profile.model_copy(update={"methods": {ADV: profile.methods[ADV]}})
    with pytest.raises(UserError, match=r"AdvUnlearn \(Text Encoder\), object is bounded by the FID of ESD"):
        search.search(alone, tmp_path, ["object"])
    assert asked == [] and not (tmp_path / "object.csv").exists()


def test_where_nothing_is_erased_the_lowest_success_is_measured_and_chosen(measured, tmp_path, monkeypatch):
    profile, _ = measured
    weak = {key: (value[0] + 50, *value[1:]) for key, value in MADE_UP.items()}
    monkeypatch.setattr("test_search.MADE_UP", weak)
    search.search(profile.model_copy(update={"methods": {ESD: profile.methods[ESD]}}), tmp_path, ["object"])
    log = read_log(tmp_path / "object.csv")
    assert (
        log.chosen.tolist() == [False, False, False, True] and log.fid.notna().tolist() == log.chosen.tolist()
    )


def test_the_budgets_step_size_is_the_strongest_at_the_middle_budget(monkeypatch, tmp_path):
    asked = []

    def attacked(profile, budgets):
        asked.append(list(budgets))
        asr = {0.01: 40.0, 0.02: 55.0, 0.05: 50.0}
        gain = {(3, 4): -20, (6, 4): -10, (6, 8): 0, (12, 8): 1, (12, 16): 30}
        names = ("timesteps", "steps", "lr")
        return [
            dict(zip(names, one, strict=True)) | {"asr": asr[one[2]] + gain[one[:2]], "low": 0, "high": 99}
            for one in budgets
        ]

    monkeypatch.setattr(search_budget, "attacked", attacked)
    search_budget.search_budget(POCKET, tmp_path)
    assert asked[0] == [(6, 8, 0.01), (6, 8, 0.02), (6, 8, 0.05)] and {one[2] for one in asked[1]} == {0.02}
    log = pd.read_csv(tmp_path / "budget.csv", comment="#")
    assert (
        len(log) == 7
        and log[log.chosen].to_dict("records")[0].items() >= {"timesteps": 6, "steps": 8, "lr": 0.02}.items()
    )


LOGS = PUBLISHED / "pocket" / "tuning"


@pytest.mark.parametrize("kind", VALIDATION)
def test_the_profile_holds_what_the_log_chose(kind):
    log = read_log(LOGS / f"{kind}.csv")
    keys = {MethodKey(*place, kind) for place in log[["method", "component"]].itertuples(index=False)}
    assert keys == {key for key in POCKET.methods if key.kind == kind}
    for key in keys:
        part, tried = log[(log.method == key.method) & (log.component == key.component)], settings(key)
        chosen = part.loc[choose_setting(part, cap_of(log, key))]
        assert chosen.chosen and part.chosen.sum() == 1
        assert part[list(tried[0])].to_dict("records") == tried
        filled = METHODS[POCKET.methods[key].method].OPTIONS(**POCKET.methods[key].options)
        prompts = len(POCKET.concepts[VALIDATION[kind]].erase)
        wanted = options_of({name: chosen[name] for name in tried[0]}, prompts)
        assert {name: getattr(filled, name) for name in wanted} == wanted, key


def test_the_profile_holds_the_budget_that_the_log_chose():
    log = pd.read_csv(LOGS / "budget.csv", comment="#")
    (chosen,) = log[log.chosen].to_dict("records")
    assert (POCKET.attack_timesteps, POCKET.attack_steps) == (chosen["timesteps"], chosen["steps"])
    assert POCKET.attack_lr == chosen["lr"]
    middle = log[(log.timesteps == 6) & (log.steps == 8)]
    assert middle.asr.max() == middle[middle.lr == chosen["lr"]].asr.iloc[0]
    doubled = [
        log[(log.lr == chosen["lr"]) & (log.timesteps * log.steps == n)].asr.iloc[0]
        for n in (12, 24, 48, 96, 192)
    ]
    assert [12, 24, 48, 96, 192][choose_budget(doubled)] == chosen["timesteps"] * chosen["steps"]
