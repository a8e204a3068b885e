"""What the paper reports and claims, and how ours compares."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "Item",
    "Run",
    "attack_cost",
    "calibration",
    "cost",
    "deviations",
    "drift",
    "neighbours",
    "oracle",
    "other_settings",
    "outcomes",
    "panels",
    "plots",
]
HERE = {"Item": "show", "Run": "item"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and torch with it, when it is first used.

    So the command line answers at once.
    """
    if name in HERE:
        return getattr(importlib.import_module(f"advunlearn_lib.report.{HERE[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"advunlearn_lib.report.{name}")
    raise AttributeError(f"module 'advunlearn_lib.report' has no attribute {name!r}")
