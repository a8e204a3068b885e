"""CLIP score: cosine similarity of picture and caption embeddings, on the paper's scale (0 to 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.images import to_uint8
from advunlearn_lib.diffusion import hub
from advunlearn_lib.diffusion.quiet import no_loading_bars

BATCH = 20  # pictures looked at at once
FEWEST = 2  # pictures behind a number: of one no spread is known


def load_clip(folder: str | Path, device: str | torch.device = "cpu") -> tuple[Any, Any]:
    """(model, processor) of a CLIP folder or hub id, in fp32.

    Raises :class:`UserError` where it cannot be loaded.
    """
    from transformers import CLIPProcessor

    from advunlearn_lib.metrics.tensor_clip import TensorCLIP

    no_loading_bars()
    name, options = hub.location(folder)
    try:
        network = TensorCLIP.from_pretrained(name, **options).float().eval().to(device)
        return network, CLIPProcessor.from_pretrained(name, trust_remote_code=False, **options)
    except Exception as error:  # transformers, safetensors and hub each raise their own
        raise UserError(f"cannot load a CLIP model: {hub.reason(error, folder)}") from error


@torch.no_grad()
def clip_scores(clip: tuple[Any, Any], images: Tensor, captions: Sequence[str]) -> NDArray[np.float64]:
    """max(cos, 0) of each picture [n, 3, h, w] in [0, 1] with its caption: [n]. Long captions are cut."""
    model, processor = clip
    longest, scores = model.config.text_config.max_position_embeddings, []
    for start in range(0, len(images), BATCH):
        inputs = processor(
            text=list(captions[start : start + BATCH]),
            images=list(to_uint8(images[start : start + BATCH])),
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=longest,
        ).to(model.device)
        pictures = model.get_image_features(inputs.pixel_values)
        texts = model.get_text_features(inputs.input_ids, inputs.attention_mask)
        scores.append(torch.cosine_similarity(pictures, texts).clamp(min=0).double().cpu())
    return torch.cat(scores).numpy()


def count_cut(clip: tuple[Any, Any], captions: Sequence[str]) -> int:
    """How many of ``captions`` have more tokens than the model reads, the end token among them."""
    model, processor = clip
    rows = processor.tokenizer(list(captions), padding=False, truncation=False).input_ids
    return sum(len(row) > model.config.text_config.max_position_embeddings for row in rows)


def check_count(n: int) -> None:
    """Raise :class:`UserError` for so few captions that nothing is known of the spread."""
    if n < FEWEST:
        raise UserError(f"FID and CLIP score need at least {FEWEST} captions, not {n}")
