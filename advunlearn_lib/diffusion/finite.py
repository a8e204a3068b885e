"""Weights are finite real numbers.

A NaN in them makes every picture NaN; of a complex number, loading would keep the real part alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from advunlearn_lib.base.errors import UserError

COMPLEX = "C64"  # safetensors' name of the only complex type it knows


def check_finite(where: str | Path, *modules: Any) -> None:
    """Raise :class:`UserError` for a weight of ``modules`` that is NaN, infinite or complex."""
    for module in modules:
        check_tensors(where, module.state_dict())
    for file in sorted(Path(where).rglob("*.safetensors")):
        with suppress(OSError, SafetensorError), safe_open(file, "pt") as tensors:  # damaged: not ours
            for name in tensors.keys():  # noqa: SIM118
                if tensors.get_slice(name).get_dtype() == COMPLEX:
                    raise refusal(where, name, "is complex")


def check_tensors(where: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """The same of tensors by name."""
    for name, tensor in tensors.items():
        if tensor.is_complex():
            raise refusal(where, name, "is complex")
        if not torch.isfinite(tensor).all():
            raise refusal(where, name, "holds a NaN or an infinity")


def refusal(where: str | Path, name: str, fault: str) -> UserError:
    """The error that names the tensor."""
    return UserError(f"the weights {str(where)!r}: {name} {fault} (allowed: finite real numbers)")
