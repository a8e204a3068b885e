"""Decision accuracy: of pairs ranked by hand, and its interval."""

import numpy as np
import pytest

from advunlearn_lib.experiment.cells import BASE
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report import calibration
from advunlearn_lib.report.reported import Result


def result(
    method, reported, reproduced, metric="asr", concept="nudity", table="5", variant="", component="UNet"
):
    return Result(
        table=table, concept=concept, here="", method=method, component=component, variant=variant,
        attack="UnlearnDiffAtk", metric=metric, reported=reported, reproduced=reproduced, low=0, high=0, n=9,
        key=f"{concept} {method} {component} {variant}", seeds=[], spread=0, commit="",
    )  # fmt: skip


def test_pairs_are_those_of_one_column_and_ranked_as_by_hand():
    results = [
        result(BASE, 100, 100),
        result("ESD", 73, 50), result("FMN", 98, 13), result("SPM", 92, 50),
        result("ESD", 18, 21, "fid"), result("FMN", 17, 146, "fid"),
        result("ESD", 60, 3, concept="Church", table="7"), result("SH", 60, 0, concept="Church", table="7"),
        result("AdvUnlearn", 21, 26, variant="N=1", table="Fig 8"),
        result("AdvUnlearn", 30, 20, variant="N=2", table="Fig 8"),
        result("mine", None, 3),
        result("ESD", 73, 50, table="3"), result("FMN", 98, 13, table="3"),  # the same pair again
    ]  # fmt: skip
    found = calibration.pairs(results, POCKET)
    told = {(row.left, row.right, row.metric): row for row in found.itertuples()}
    assert set(told) == {  # not SD v1.4, no tie of the paper, nothing across columns, none of ours alone
        ("ESD, UNet", "FMN, UNet", "asr"), ("ESD, UNet", "SPM, UNet", "asr"),
        ("FMN, UNet", "SPM, UNet", "asr"), ("ESD, UNet", "FMN, UNet", "fid"),
        ("AdvUnlearn, UNet, N=1", "AdvUnlearn, UNet, N=2", "asr"),
    }  # fmt: skip
    assert found["right order"].tolist() == [0, 0.5, 0, 0, 0]
    assert found.tuned.tolist() == [True] * 4 + [False]
    assert set(found.kind) == {"broad"}
    shares = calibration.accuracy(found, ["metric", "tuned"]).set_index(["metric", "tuned"])
    assert shares.loc[("asr", True), "accuracy (%)"] == pytest.approx(100 * 0.5 / 3)
    assert shares.loc[("asr", True), "pairs"] == 3


def test_the_same_order_is_always_right_and_the_opposite_never():
    for sign, share in ((1, 100), (-1, 0)):
        results = [result(str(n), n, sign * n**2) for n in range(1, 7)]
        shares = calibration.accuracy(calibration.pairs(results, POCKET), ["metric"])
        assert shares.iloc[0][["accuracy (%)", "low", "high", "pairs"]].tolist() == [share, share, share, 15]


def test_the_interval_covers_what_a_plain_bootstrap_over_models_gives():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=12)
    results = [result(str(n), float(x), float(x + rng.normal())) for n, x in enumerate(truth)]
    found = calibration.pairs(results, POCKET)
    right = {frozenset((row.left, row.right)): row for row in found.itertuples()}
    values = []
    for _ in range(2000):
        drawn = [f"{n}, UNet" for n in rng.integers(0, 12, 12)]
        chosen = [
            found.loc[right[frozenset((a, b))].Index, "right order"]
            for i, a in enumerate(drawn) for b in drawn[:i] if a != b
        ]  # fmt: skip
        values.append(100 * np.mean(chosen))
    assert calibration.interval(found) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=2)


def test_a_models_order_here_does_not_hang_on_which_side_it_stands():
    results = [result("a", 1, 5), result("b", 2, 4), result("c", 3, 6)]
    one = calibration.pairs(results, POCKET)["right order"].mean()
    assert one == calibration.pairs(results[::-1], POCKET)["right order"].mean() == pytest.approx(2 / 3)


def test_the_plot_has_a_dot_for_every_share():
    results = [
        result(m, x, y, metric)
        for metric in ("asr", "fid")
        for m, x, y in (("a", 1, 5), ("b", 2, 4), ("c", 3, 6))
    ]
    shares = calibration.accuracy(calibration.pairs(results, POCKET), ["metric", "kind"])
    axis = calibration.plot(shares, "kind", "a stamp").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["ASR (%)", "FID"]
    dots = [line for line in axis.lines if len(line.get_xdata()) == 1]
    assert sorted(dot.get_xdata()[0] for dot in dots) == pytest.approx(sorted(shares["accuracy (%)"]))
