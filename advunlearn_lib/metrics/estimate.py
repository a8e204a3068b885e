"""An estimate with its 95 % interval: Wilson's for proportions, the bootstrap for means."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest, bootstrap


class Estimate(BaseModel):
    """A value with its 95 % interval and the number of samples behind it."""

    model_config = ConfigDict(frozen=True)
    value: float
    low: float
    high: float
    n: int


def proportion(successes: int, n: int) -> Estimate:
    """100 successes / n, in %, with Wilson's score interval."""
    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return Estimate(value=100 * successes / n, low=100 * interval.low, high=100 * interval.high, n=n)


def bootstrap_mean(values: NDArray[np.float64], seed: int = 0) -> Estimate:
    """The mean of ``values`` [n], n > 1, with a percentile bootstrap interval."""
    rng = np.random.default_rng(seed)
    interval = bootstrap(
        (values,), np.mean, n_resamples=1000, method="percentile", rng=rng
    ).confidence_interval
    mean, low, high = float(values.mean()), float(interval.low), float(interval.high)
    return Estimate(value=mean, low=low, high=high, n=len(values))


def format_estimates(estimates: Mapping[str, Estimate]) -> str:
    """``- ASR (%): 20 [10.5, 34.76], n = 40``, a line each."""
    return "\n".join(
        f"- {name}: {e.value:.4g} [{e.low:.4g}, {e.high:.4g}], n = {e.n}" for name, e in estimates.items()
    )
