"""No attack: each prompt as it is. Its success rate is the pre-ASR."""

from __future__ import annotations

from advunlearn_lib.attacks.base import Attack


class NoAttack(Attack):
    """No rounds."""

    def rounds(self) -> int:
        """None."""
        return 0
