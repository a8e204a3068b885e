"""Classes of diffusers and transformers by name, imported when they are first asked for.

That takes seconds, and whoever only reads finished results needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def class_named(name: str) -> Any:
    """A pipeline, scheduler or network: transformers' if it is one of CLIP's, else diffusers'."""
    return getattr(import_module("transformers" if name.startswith("CLIP") else "diffusers"), name)


def plain_attention() -> Any:
    """diffusers' attention that has its weights in memory, not fused."""
    return import_module("diffusers.models.attention_processor").AttnProcessor()
