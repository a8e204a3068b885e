"""CLIP's features of pictures, as attacks compare them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.base.images import to_arrays


@torch.no_grad()
def picture_features(clip: tuple[Any, Any], images: Tensor) -> Tensor:
    """Features [b, d], of length 1, of pictures in [0, 1]; ``clip`` is (CLIPModel, processor)."""
    network, processor = clip
    pixels = processor(images=to_arrays(images), return_tensors="pt").pixel_values.to(network.device)
    return torch.nn.functional.normalize(network.get_image_features(pixels), dim=-1)
