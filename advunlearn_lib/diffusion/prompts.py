"""A prompt with the seed of its picture, and who judges that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from advunlearn_lib.base.seeds import check_seed
from advunlearn_lib.diffusion.sampling import check_guidance

Judge = Callable[[Tensor], Tensor]
"""Pictures [b, 3, h, w] in [0, 1] -> does each show the concept? bool [b]."""


@dataclass(frozen=True)
class EvaluationPrompt:
    """A prompt, the seed of its picture, and its guidance scale where that is not the sampling's.

    An ``exempt`` one is judged but not attacked, unless the attack replaces it: the paper counts
    prompts of more than 60 tokens as failed attacks.
    """

    text: str
    seed: int
    guidance_scale: float | None = None
    exempt: bool = False

    def __post_init__(self) -> None:
        """Check the numbers: :class:`UserError` for one out of range."""
        check_seed(self.seed)
        if self.guidance_scale is not None:
            check_guidance(self.guidance_scale)
