"""Pictures as floats [n, 3, h, w] in [0, 1], as 8-bit arrays [h, w, 3], and as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Pixels = NDArray[np.uint8]


def to_uint8(images: Tensor) -> Tensor:
    """Rounded to 8 bits, as a saved picture is; any shape."""
    return (images * 255).round().to(torch.uint8)


def to_arrays(images: Iterable[Tensor]) -> list[Pixels]:
    """uint8 [h, w, 3] of each picture [3, h, w] in [0, 1]; they may differ in size."""
    return [np.ascontiguousarray(to_uint8(image).permute(1, 2, 0).cpu().numpy()) for image in images]


def from_arrays(arrays: Pixels) -> Tensor:
    """float [n, 3, h, w] in [0, 1] of uint8 [n, h, w, 3]."""
    return torch.from_numpy(np.ascontiguousarray(arrays)).permute(0, 3, 1, 2).float() / 255


def in_parts(images: Iterable[Tensor], size: int) -> Iterator[list[Tensor]]:
    """The pictures, at most ``size`` at a time: no more of them need to exist at once."""
    rest = iter(images)
    return iter(lambda: list(islice(rest, size)), [])


def read_image(path: Path) -> Tensor:
    """A picture file as [3, h, w] in [0, 1]."""
    with Image.open(path) as image:
        return from_arrays(np.asarray(image.convert("RGB"))[None].copy())[0]


def write_image(path: Path, image: Tensor) -> None:
    """A picture [3, h, w] in [0, 1] as a PNG."""
    Image.fromarray(to_arrays([image])[0]).save(path)
