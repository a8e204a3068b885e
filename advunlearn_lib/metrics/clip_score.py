"""CLIP score by torchmetrics: cosine similarity of picture
and caption embeddings, on the paper's scale (/ 100).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.multimodal.clip_score import clip_score
from transformers import CLIPModel, CLIPProcessor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.images import to_uint8
from advunlearn_lib.diffusion import hub
from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean

BLOCK = 20  # pictures scored at once; the bootstrap resamples blocks


class TensorCLIP(CLIPModel):  # type: ignore[misc]
    """A ``CLIPModel`` whose features are tensors, as torchmetrics 1.9 expects; transformers 5 wraps them."""

    def get_text_features(self, *args: Any, **kwargs: Any) -> Any:
        """Projected text features [n, d]."""
        return super().get_text_features(*args, **kwargs).pooler_output

    def get_image_features(self, *args: Any, **kwargs: Any) -> Any:
        """Projected picture features [n, d]."""
        return super().get_image_features(*args, **kwargs).pooler_output


def load_clip(folder: str | Path, device: str | torch.device = "cpu") -> tuple[TensorCLIP, CLIPProcessor]:
    """(model, processor) of a CLIP folder or hub id, in fp32.

    Raises :class:`UserError` where it cannot be loaded.
    """
    name, options = hub.source(folder)
    try:
        network = TensorCLIP.from_pretrained(name, **options).float().eval().to(device)
        return network, CLIPProcessor.from_pretrained(name, **options)
    except Exception as error:  # transformers, safetensors and hub each raise their own
        raise UserError(f"cannot load a CLIP model: {hub.reason(error, folder)}") from error


@torch.no_grad()
def clip_scores(clip: tuple[Any, Any], images: Tensor, captions: Sequence[str]) -> np.ndarray:
    """Mean max(cos, 0) of pictures in [0, 1] with their captions, for each block of 20: [ceil(n / 20)]."""
    pixels = to_uint8(images).to(clip[0].device)
    blocks = range(0, len(pixels), BLOCK)
    scores = [
        float(clip_score(list(pixels[i : i + BLOCK]), list(captions[i : i + BLOCK]), lambda: clip))
        for i in blocks
    ]
    return np.array(scores) / 100


def mean_clip_score(scores: np.ndarray, n: int, seed: int = 0) -> Estimate:
    """Mean of the block ``scores`` of ``n`` pictures with a
    bootstrap interval over blocks; n must be a multiple of 20.
    """
    check_count(n)
    return bootstrap_mean(scores, n, seed)


def check_count(n: int) -> None:
    """:class:`UserError` for a number of pictures that does not fill at least two blocks."""
    if n % BLOCK or n < 2 * BLOCK:
        raise UserError(f"CLIP score needs a multiple of {BLOCK} pictures, at least {2 * BLOCK}, not {n}")
