"""Where a profile's prompts, captions and reference pictures come from.

They come from the emoji world, or from the official files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor

from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.profiles.schema import Profile, RetainList


class Source(Protocol):
    """What :class:`Study` asks for; ``*_recipe`` names what the results rest on besides the profile."""

    def evaluation_recipe(self, file: str) -> dict[str, str]:
        """Of a concept's evaluation prompts, which are in ``file`` where the source has files."""

    def evaluation(self, kind: str, labels: Sequence[str], file: str, count: int) -> list[EvaluationPrompt]:
        """Candidates for ``count`` evaluation prompts of a concept of this ``kind`` with these ``labels``."""

    def captions_recipe(self) -> dict[str, str]:
        """Of captions and reference pictures."""

    def captions(self, count: int, avoid: Sequence[str]) -> tuple[list[str], list[int]]:
        """Captions of pictures to be made, without the words of ``avoid``, and the pictures' seeds."""

    def references(self, count: int, avoid: Sequence[str]) -> Iterable[Tensor] | Statistics:
        """Real pictures of such captions, each [3, h, w] in [0, 1], or their features' statistics."""

    def retain_set(self, avoid: Sequence[str], wanted: RetainList) -> list[str]:
        """Retain prompts from ``wanted.source``, those about ``avoid`` left out if ``wanted.filtered``."""


def source_of(profile: Profile) -> Source:
    """The profile's source."""
    if profile.source == "official":
        from advunlearn_lib.data.official import OfficialFiles

        return OfficialFiles(profile)
    from advunlearn_lib.data.emoji import EmojiWorld

    return EmojiWorld(profile)
