"""Attacks on erased models, one a file."""

from advunlearn_lib.attacks.base import Attack
from advunlearn_lib.attacks.cce import CCE
from advunlearn_lib.attacks.none import NoAttack
from advunlearn_lib.attacks.p4d import P4D
from advunlearn_lib.attacks.pez import PEZ
from advunlearn_lib.attacks.ph2p import PH2P
from advunlearn_lib.attacks.random import Random
from advunlearn_lib.attacks.records import AttackedPrompt, AttackResult, Budget, Judge, PromptResult
from advunlearn_lib.attacks.unlearndiffatk import UnlearnDiffAtk

ATTACKS: dict[str, type[Attack]] = {
    "none": NoAttack,
    "random": Random,
    "UnlearnDiffAtk": UnlearnDiffAtk,
    "P4D": P4D,
    "CCE": CCE,
    "PEZ": PEZ,
    "PH2P": PH2P,
}
__all__ = ["ATTACKS", "Attack", "AttackResult", "AttackedPrompt", "Budget", "Judge", "PromptResult", "UnlearnDiffAtk"]
