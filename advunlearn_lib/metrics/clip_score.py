"""CLIP score by torchmetrics: cosine similarity of picture and caption embeddings, on the paper's scale (/ 100)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import Tensor
from torchmetrics.functional.multimodal.clip_score import clip_score
from transformers import CLIPModel, CLIPProcessor

from advunlearn_lib.metrics.asr import Estimate


def load_clip(folder: str | Path) -> Any:
    """(model, processor) of a CLIP folder or hub id, in fp32."""
    return CLIPModel.from_pretrained(folder).float().eval(), CLIPProcessor.from_pretrained(folder)


@torch.no_grad()
def clip_scores(clip: Any, images: Tensor, captions: Sequence[str]) -> np.ndarray:
    """max(cos, 0) of each picture in [0, 1] with its caption: [n]."""
    pixels = (images * 255).round().to(torch.uint8)
    scores = [float(clip_score(pixel, caption, lambda: clip)) for pixel, caption in zip(pixels, captions, strict=True)]
    return np.array(scores) / 100


def mean_clip_score(clip: Any, images: Tensor, captions: Sequence[str], seed: int = 0) -> Estimate:
    """Mean CLIP score with a bootstrap interval over pictures."""
    scores = clip_scores(clip, images, captions)
    interval = bootstrap((scores,), np.mean, n_resamples=1000, method="percentile", rng=np.random.default_rng(seed)).confidence_interval
    return Estimate(value=float(scores.mean()), low=float(interval.low), high=float(interval.high), n=len(scores))
