r"""FID, Frechet inception distance, by torchmetrics, in the features of the profile's own classifier.

    FID = | mu_r - mu_g |^2 + tr( S_r + S_g - 2 (S_r S_g)^{1/2} )

A value depends on the feature network: pocket FIDs (the object judge's pooled features) compare with each other only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics.image.fid import FrechetInceptionDistance

from advunlearn_lib.metrics.asr import Estimate


class Features(torch.nn.Module):
    """Hands ready-made features to torchmetrics, which expects a network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        """The features themselves."""
        return features


def frechet_distance(real: Tensor, generated: Tensor, resamples: int = 100, seed: int = 0) -> Estimate:
    """FID between feature sets [n, d] and [m, d], with a bootstrap interval over the generated pictures.

    Resampling repeats pictures and so shifts every bootstrap FID upwards; the interval is the spread of the bootstrap
    distribution around its mean, moved to the point estimate.
    """
    metric = FrechetInceptionDistance(feature=Features(real.shape[1]), normalize=True, reset_real_features=False)
    metric.set_dtype(torch.float64)
    metric.update(real.double(), real=True)

    def distance(features: Tensor) -> float:
        metric.reset()
        metric.update(features.double(), real=False)
        return float(metric.compute())

    rng, n = np.random.default_rng(seed), len(generated)
    value = distance(generated)
    draws = np.array([distance(generated[torch.from_numpy(rng.integers(n, size=n))]) for _ in range(resamples)])
    low, high = np.quantile(draws - draws.mean(), (0.025, 0.975)) if resamples else (0.0, 0.0)
    return Estimate(value=value, low=max(0.0, value + low), high=value + high, n=n)
