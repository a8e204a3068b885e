import pandas as pd

from advunlearn_lib.tuning import choose_budget, choose_setting


def test_best_fid_among_the_erased_else_the_lowest_success():
    log = pd.DataFrame({"success": [5, 20, 20.1], "fid": [9.0, 7.0, 1.0]}, index=[4, 5, 6])
    assert choose_setting(log) == 5
    assert choose_setting(pd.DataFrame({"success": [90, 60, 80], "fid": [1.0, 3.0, 2.0]})) == 1


def test_the_budget_grows_until_doubling_adds_less_than_two_points():
    assert choose_budget([50, 60, 61, 80]) == 1
    assert choose_budget([50, 49]) == 0
    assert choose_budget([50, 60, 70]) == 2
