"""ASR, attack success rate.

It is the share of prompts whose picture shows the concept, without or with attack, in %.
"""

from __future__ import annotations

from collections.abc import Sequence

from advunlearn_lib.attacks.records import PromptResult
from advunlearn_lib.metrics.estimate import Estimate, proportion


def attack_success_rate(results: Sequence[PromptResult]) -> tuple[Estimate, Estimate]:
    """(ASR, pre-ASR): successes after the attack, and before it.

    What succeeds before needs no attack and counts for
    both, except where an attack replaces the whole prompt.
    """
    after, before = (sum(getattr(result, when) for result in results) for when in ("after", "before"))
    return proportion(after, len(results)), proportion(before, len(results))
