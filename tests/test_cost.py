"""What an attack costs: the curves against a count by hand, the test against its permutation."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from advunlearn_lib.report import cost

ROUNDS = 3
STEPS = {"SD v1.4": [0] * 6, "ESD": [0, 0, 1, 2, -1, -1], "AdvUnlearn": [0, 1, -1, -1, -1, -1]}


def outcomes(steps):
    lines = [
        {"model": model, "after": step >= 0, "step": step, "rounds": ROUNDS}
        for model, all_steps in steps.items()
        for step in all_steps
    ]
    return pd.DataFrame(lines)


def test_a_curve_is_the_share_not_yet_broken():
    lives = cost.lives(outcomes(STEPS))
    assert list(lives) == ["ESD", "AdvUnlearn"]  # the untouched model is broken from the start
    figure = cost.curves(lives, ROUNDS, "a title")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    for model, steps in STEPS.items():
        if model in lives:
            unbroken = [np.mean([not 0 <= step <= t for step in steps]) for t in range(ROUNDS + 1)]
            assert lines[model] == pytest.approx(100 * np.array(unbroken))
    plt.close(figure)


def test_models_are_compared_over_all_rounds():
    rng = np.random.default_rng(0)
    weak = [int(step) for step in rng.integers(0, 3, 60)]
    strong = [-1] * 50 + weak[:10]
    table = cost.compared(cost.lives(outcomes({"AdvUnlearn": strong, "ESD": weak, "UCE": strong[::-1]})))
    assert table.against.tolist() == ["ESD", "UCE"]
    assert table["log-rank"].tolist() == ["AdvUnlearn lasts longer", "undecided"]
    assert cost.finding(table).startswith("AdvUnlearn lasts longer than 1, less long than 0 of 2 methods")
    turned = cost.compared(cost.lives(outcomes({"AdvUnlearn": weak, "ESD": strong})))
    assert turned["log-rank"].tolist() == ["AdvUnlearn lasts less long"]


def test_where_nothing_breaks_nothing_differs():
    table = cost.compared(cost.lives(outcomes({"AdvUnlearn": [-1] * 5, "SH": [-1] * 5})))
    assert table.p.tolist() == [1.0] and table["log-rank"].tolist() == ["undecided"]
