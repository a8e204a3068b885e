"""Where networks live, and what they compute in."""

from __future__ import annotations

import torch
from torch import Tensor

from advunlearn_lib.base.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def device_named(name: str = "auto") -> torch.device:
    """The device ``name``; "auto" is a GPU where there is one, else the CPU.

    :class:`UserError` where this machine has none such.
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UserError(
            f"this machine has no device {name!r} (allowed: auto, cpu, cuda, cuda:1, ...)"
        ) from None
    return device


def check_dtype(dtype: torch.dtype) -> torch.dtype:
    """``dtype``, if training can compute in it. Raises :class:`UserError` otherwise."""
    if dtype not in DTYPES.values():
        given = str(dtype).removeprefix("torch.")
        raise UserError(f"training does not compute in {given} (allowed: float32, bfloat16)")
    return dtype


def multiplies_bf16(device: torch.device) -> bool:
    """Has ``device`` instructions for bf16? A CPU without them takes many times as long as in fp32."""
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """``drawn``, from the CPU, on ``device``; a GPU stays at what it does, and nobody waits for it."""
    if device.type != "cuda":
        return drawn.to(device)
    return drawn.pin_memory().to(device, non_blocking=True)
