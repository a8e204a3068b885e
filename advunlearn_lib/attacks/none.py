"""No attack: each prompt as it is. Its success rate is the pre-ASR."""

from __future__ import annotations

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.registry import ATTACKS


@ATTACKS.register("none")
class NoAttack(Attack):
    """No rounds."""

    def rounds(self) -> int:
        """None."""
        return 0
