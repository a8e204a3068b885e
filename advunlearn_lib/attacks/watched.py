"""A judge that is watched for signs that its judgements mean nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from advunlearn_lib.diffusion.prompts import Judge

ALIKE = 1 / 255  # mean difference of two pictures, of which an 8-bit file keeps nothing
BLANK = (0.0, 0.5, 1.0)  # black, grey, white


class Watched:
    """``judge``, and what :meth:`flags` says of the pictures that it has seen.

    Where all pictures are alike, or the judge sees the concept even in blank ones, its rates mean nothing.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge, self.seen, self.differ = judge, 0, False
        self.first = torch.empty(0)

    def __call__(self, images: Tensor) -> Tensor:
        """The judgement of ``images`` [b, 3, h, w]."""
        if not self.seen:
            self.first = images[0]
        self.seen += len(images)
        self.differ |= bool(((images - self.first).abs().mean((1, 2, 3)) >= ALIKE).any())
        return self.judge(images)

    def flags(self) -> set[str]:
        """The signs; of a single picture nothing is said about likeness."""
        flags = set[str]()
        if self.seen > 1 and not self.differ:
            flags.add("all pictures are alike")
        blank = torch.stack([torch.full_like(self.first, value) for value in BLANK])
        if self.judge(blank).all():
            flags.add("the judge sees the concept in blank pictures")
        return flags
