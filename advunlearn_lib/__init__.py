"""Robust concept erasure in text-to-image diffusion models.

AdvUnlearn (NeurIPS 2024), its baselines and its attacks.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what __getattr__ gives, for editors and type checkers
    from advunlearn_lib.api import (
        EvaluationPrompt,
        LatentDiffusion,
        Sampling,
        attack,
        attack_spec,
        erase,
        erasure_spec,
        evaluate,
        generate,
        load_clip,
        load_erased,
        load_judge,
        load_model,
        success_rates,
    )

# transformers' own switch, read when it is imported: its notices (of torchvision, which nothing here needs)
# are not for those who read a notebook
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm's, of bars that nothing here uses

__version__ = "0.1.0"
__all__ = [
    "EvaluationPrompt",
    "LatentDiffusion",
    "Sampling",
    "attack",
    "attack_spec",
    "erase",
    "erasure_spec",
    "evaluate",
    "generate",
    "load_clip",
    "load_erased",
    "load_judge",
    "load_model",
    "success_rates",
]


def __getattr__(name: str) -> Any:
    """Import :mod:`advunlearn_lib.api`, and torch with it, when something of it is first used."""
    if name in __all__:
        return getattr(importlib.import_module("advunlearn_lib.api"), name)
    raise AttributeError(f"module 'advunlearn_lib' has no attribute {name!r}")
