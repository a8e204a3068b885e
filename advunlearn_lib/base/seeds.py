"""The one way to a random number: an explicit generator on the CPU, seeded by what the draw is for.

Every machine sees the same draws, and no draw depends on the batch it is made in.
"""

from __future__ import annotations

import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.settings import LARGEST_SEED


def generator(seed: int) -> torch.Generator:
    """A generator on the CPU; torch takes 64 bits, more than which derived seeds may have."""
    return torch.Generator().manual_seed(seed % 2**64)


def check_seed(seed: int) -> int:
    """``seed``. Raises :class:`UserError` for one out of range."""
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"seed {seed} is out of range (allowed: 0 to {LARGEST_SEED})")
    return seed


def derived_seed(seed: int, index: int) -> int:
    """The seed of the ``index``-th picture, sampling path or iteration of a run with ``seed``."""
    return seed * 1_000_003 + index


def prompt_seed(seed: int, picture_seed: int, text: str) -> int:
    """A seed that depends on a prompt alone, not on its place in a batch."""
    letters = sum(ord(letter) * place for place, letter in enumerate(text, start=1))
    return (seed * 7_368_787 + picture_seed * 31 + letters) % 2**31
