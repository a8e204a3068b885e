r"""FID, Frechet inception distance, by torchmetrics, in the features that the profile names.

    FID = | mu_r - mu_g |^2 + tr( S_r + S_g - 2 (S_r S_g)^{1/2} )

A value depends on the feature network: pocket FIDs (the object judge's pooled features) compare with each
other only; the paper's are in Inception's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from advunlearn_lib.metrics.estimate import Estimate


class Statistics(NamedTuple):
    """Mean [d] and covariance [d, d] of the features of real pictures, as FID's ``.npz`` files hold them."""

    mu: Tensor
    sigma: Tensor


class Features(torch.nn.Module):
    """Hands ready-made features to torchmetrics, which expects a network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        """The features themselves."""
        return features


def against(real: Tensor | Statistics) -> Any:
    """torchmetrics' FID with its real half filled."""
    width = len(real.mu) if isinstance(real, Statistics) else real.shape[1]
    metric = FrechetInceptionDistance(
        feature=Features(width), normalize=True, reset_real_features=False, sync_on_compute=False
    )
    metric.set_dtype(torch.float64)
    if isinstance(real, Statistics):  # the sums that any n features with this mean and covariance would leave
        n, mu, sigma = 10 * width, real.mu.double(), real.sigma.double()
        metric.real_features_sum, metric.real_features_num_samples = n * mu, torch.tensor(n)
        metric.real_features_cov_sum = (n - 1) * sigma + n * torch.outer(mu, mu)
    else:
        metric.update(real.double(), real=True)
    return metric


def frechet_distance(
    real: Tensor | Statistics, generated: Tensor, resamples: int = 100, seed: int = 0
) -> Estimate:
    """FID of features [m, d] from those of real pictures, [n,
    d], with a bootstrap interval over the generated pictures.

    Resampling repeats pictures and so shifts every bootstrap FID upwards; the interval is the spread of the
    bootstrap distribution around its mean, moved to the point estimate.
    """
    metric = against(real)

    def distance(features: Tensor) -> float:
        metric.reset()
        metric.update(features.double(), real=False)
        return float(metric.compute())

    rng, n = np.random.default_rng(seed), len(generated)
    value = distance(generated)
    draws = np.array(
        [distance(generated[torch.from_numpy(rng.integers(n, size=n))]) for _ in range(resamples)]
    )
    low, high = np.quantile(draws - draws.mean(), (0.025, 0.975)) if resamples else (0.0, 0.0)
    return Estimate(value=value, low=max(0.0, value + low), high=value + high, n=n)
