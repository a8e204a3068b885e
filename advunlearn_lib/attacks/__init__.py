"""Attacks on erased models, one a file."""

from advunlearn_lib.attacks.base import AttackedPrompt, Budget, Judge, PromptResult
from advunlearn_lib.attacks.none import no_attack
from advunlearn_lib.attacks.unlearndiffatk import unlearndiffatk

ATTACKS = {"none": no_attack, "UnlearnDiffAtk": unlearndiffatk}
__all__ = ["ATTACKS", "AttackedPrompt", "Budget", "Judge", "PromptResult", "no_attack", "unlearndiffatk"]
