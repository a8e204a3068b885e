"""FID's real pictures: a folder of them, or an ``.npz`` of their features' mean and covariance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.images import read_image
from advunlearn_lib.base.keys import key_of_files
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.metrics.fid import Statistics

SUFFIXES = (".png", ".jpg", ".jpeg")


def read_reference(reference: Path, count: int | None = None) -> Iterable[Tensor] | Statistics:
    """A folder's first ``count`` pictures, or the statistics of an ``.npz``.

    Each picture is [3, h, w] in [0, 1] in its own size and read when it is asked for (ten thousand would take
    37 GB). Raises :class:`UserError` for what is neither, and, when asked for it, for a picture that cannot
    be read.
    """
    files = reference_files(reference)
    if files != [reference]:
        return read_pictures(files[:count])
    try:
        with np.load(reference, allow_pickle=False) as arrays:
            return Statistics(torch.from_numpy(arrays["mu"]), torch.from_numpy(arrays["sigma"]))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"the reference {str(reference)!r} has no arrays mu and sigma: {error}") from error


def read_pictures(files: list[Path]) -> Iterator[Tensor]:
    """Each picture when it is asked for, and the bar with the first."""
    yield from map(read_picture, tqdm(files, desc="reference pictures", leave=False))


def read_picture(file: Path) -> Tensor:
    """One picture of the reference."""
    try:
        return read_image(file)
    except OSError as error:
        raise UserError(f"the reference picture {str(file)!r} cannot be read: {error}") from error


def reference_files(reference: Path) -> list[Path]:
    """The pictures of a folder, by name; the file itself where it holds statistics."""
    if reference.suffix == ".npz" and reference.is_file():
        return [reference]
    files = sorted(path for path in reference.glob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        wanted = "a folder of pictures (png, jpg) nor an .npz of statistics"
        raise UserError(f"the reference {str(reference)!r} is neither {wanted}")
    return files


def reference_key(reference: Path) -> str:
    """The content of the reference, as a key."""
    return key_of_files(reference_files(reference), reference)
