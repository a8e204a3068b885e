import pandas as pd
import pytest

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.pocket.tuning import GRID, choose_budget, choose_setting, finished, settings
from advunlearn_lib.profiles.pocket import POCKET

LOGS = ROOT / "figures" / "pocket" / "tuning"


def test_best_fid_among_the_erased_else_the_lowest_success():
    log = pd.DataFrame({"success": [5, 20, 20.1], "fid": [9.0, 7.0, 1.0]}, index=[4, 5, 6])
    assert choose_setting(log) == 5
    assert choose_setting(pd.DataFrame({"success": [90, 60, 80], "fid": [1.0, 3.0, 2.0]})) == 1


def test_the_budget_grows_until_doubling_adds_less_than_two_points():
    assert choose_budget([50, 60, 61, 80]) == 1
    assert choose_budget([50, 49]) == 0
    assert choose_budget([50, 60, 70]) == 2


def test_a_log_keeps_the_methods_it_holds_whole(tmp_path):
    assert finished(tmp_path / "none.csv").empty and "row" in finished(tmp_path / "none.csv")
    whole = pd.DataFrame({"row": ["ESD UNet style"] * 4 + ["FMN UNet style"] * 3, "lr": range(7)})
    whole.to_csv(tmp_path / "log.csv", index=False)
    assert finished(tmp_path / "log.csv").row.tolist() == ["ESD UNet style"] * 4


def test_every_method_searches_equally_many_settings():
    for kind, count in {"broad": 8, "style": 4, "object": 4}.items():
        assert {len(settings(row)) for row in POCKET.methods if row.endswith(kind)} == {count}
    assert settings("ESD UNet broad")[1] == {"lr": 5e-5, "eta": 2.0}
    assert settings("ESD UNet style")[1] == {"lr": 1e-4}
    assert {row.rsplit(" ", 1)[0] for row in POCKET.methods} == set(GRID)


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.csv")), ids=lambda path: path.stem)
def test_the_profile_holds_what_the_log_chose(log):
    table = pd.read_csv(log, comment="#")
    if log.stem == "budget":
        chosen = table.loc[choose_budget(table.asr.tolist())]
        assert chosen.chosen and (POCKET.attack_timesteps, POCKET.attack_steps) == (
            chosen.timesteps,
            chosen.steps,
        )
        return
    for row, part in table.groupby("row"):
        tried = settings(row)
        chosen = part.loc[choose_setting(part)]
        assert chosen.chosen and part[list(tried[0])].to_dict("records") == tried
        filled = METHODS[POCKET.methods[row]["method"]].OPTIONS(
            **{k: v for k, v in POCKET.methods[row].items() if k != "method"}
        )
        assert all(getattr(filled, name) == chosen[name] for name in tried[0]), row
