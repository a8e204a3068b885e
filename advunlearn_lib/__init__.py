"""Robust concept erasure in text-to-image diffusion models: AdvUnlearn (NeurIPS 2024), its baselines and its attacks."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
_VERBS = {
    "LatentDiffusion": "advunlearn_lib.model",
    "Sampling": "advunlearn_lib.model",
    "erase": "advunlearn_lib.erasure",
    "UnlearnDiffAtk": "advunlearn_lib.attacks",
    "attack": "advunlearn_lib.verbs",
    "evaluate": "advunlearn_lib.verbs",
    "generate": "advunlearn_lib.verbs",
}
__all__ = ["LatentDiffusion", "Sampling", "UnlearnDiffAtk", "attack", "erase", "evaluate", "generate"]


def __getattr__(name: str) -> Any:
    """Import a verb when it is first used, so that the command line answers at once."""
    if name in _VERBS:
        return getattr(importlib.import_module(_VERBS[name]), name)
    raise AttributeError(f"module 'advunlearn_lib' has no attribute {name!r}")
