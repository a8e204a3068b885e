r"""Is one model's number smaller than another's? The difference left - right with its 95 % interval.

On the same prompts or captions the two are compared *paired*. Success rates: b prompts broke the left model
alone, c the right one alone; McNemar's exact test asks whether b of b + c may be half. The interval is
Newcombe's method 10 for paired proportions (Statistics in Medicine 17, 1998, 2635-2650), which joins the two
Wilson intervals by the correlation phi of the outcomes. FID and CLIP score are means over pictures
(:mod:`~advunlearn_lib.metrics.fid` says of what), so the captions are resampled, the same for both models.

Where samples are not at hand or not the same, the two intervals are joined (MOVER, Zou and Donner 2008; of
Wilson intervals it is Newcombe's hybrid score, Statistics in Medicine 17, 1998, 873-890):

    left - right - sqrt( (left - left_low)^2 + (right_high - right)^2 )   and its mirror image
"""

from __future__ import annotations

from math import sqrt
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean, proportion

Rule = Literal["McNemar", "paired bootstrap", "Newcombe", "MOVER"]
Verdict = Literal["holds", "fails", "undecided"]
LEVEL = 0.05


class Difference(NamedTuple):
    """left - right, its 95 % interval, by which rule, and ``p`` of an exact test where the rule is one."""

    value: float
    low: float
    high: float
    rule: Rule
    p: float | None = None

    def apart(self) -> bool:
        """Does the test, or else the interval, exclude 0?"""
        return self.low > 0 or self.high < 0 if self.p is None else self.p < LEVEL

    def verdict(self, relation: str) -> Verdict:
        """Does ``left < right`` (or ``>``) hold?"""
        if not self.apart():
            return "undecided"
        return "holds" if (self.value < 0) == (relation == "<") else "fails"


def compare_rates(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> Difference:
    """Success rates of two models on the same prompts, bool [n] each, in %: McNemar, Newcombe's method 10."""
    n = len(left)
    both, neither = int((left & right).sum()), int((~left & ~right).sum())
    alone = int((left & ~right).sum()), int((~left & right).sum())
    p = float(binomtest(alone[0], sum(alone)).pvalue) if sum(alone) else 1.0
    rates = proportion(int(left.sum()), n), proportion(int(right.sum()), n)
    agreement: float = both * neither - alone[0] * alone[1]
    if agreement > 0:
        agreement = max(0.0, agreement - n / 2)  # the continuity correction
    spread = sqrt(float(left.sum() * (~left).sum() * right.sum() * (~right).sum()))
    phi = agreement / spread if spread else 0.0
    return joined(*rates, "McNemar", phi)._replace(p=p)


def compare_means(left: NDArray[np.float64], right: NDArray[np.float64], seed: int = 0) -> Difference:
    """Means of two models' values on the same captions, [n] each, by the bootstrap over captions."""
    mean = bootstrap_mean(left - right, seed=seed)
    return Difference(mean.value, mean.low, mean.high, "paired bootstrap")


def joined(left: Estimate, right: Estimate, rule: Rule, phi: float = 0.0) -> Difference:
    """The difference of two estimates from their own intervals; ``phi``: their correlation."""

    def reach(one: float, other: float) -> float:
        return sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    value = left.value - right.value
    low = value - reach(left.value - left.low, right.high - right.value)
    high = value + reach(left.high - left.value, right.value - right.low)
    return Difference(value, low, high, rule)
