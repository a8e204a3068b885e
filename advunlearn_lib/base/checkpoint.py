"""Checkpoints without pickle: module and optimiser tensors in one safetensors file, written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from advunlearn_lib.base.files import atomic


def save(
    path: Path,
    modules: Mapping[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer | None = None,
    **meta: Any,
) -> None:
    """Write all weights of ``modules`` and the optimiser's moments; ``meta`` is any JSON."""
    tensors = {
        f"{name}.{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    with atomic(path) as temporary:
        save_file(
            {key: value.detach().contiguous() for key, value in tensors.items()},
            temporary,
            {"meta": json.dumps(meta)},
        )


def load(
    path: Path, modules: Mapping[str, torch.nn.Module], optimizer: torch.optim.Optimizer | None = None
) -> dict[str, Any]:
    """Restore what :func:`save` wrote and return its ``meta``.

    Raises ``RuntimeError`` where keys do not match.
    """
    with safe_open(path, "pt") as file:
        meta: dict[str, Any] = json.loads(file.metadata()["meta"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    for name, module in modules.items():
        prefix = f"{name}."
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
    if optimizer is not None:
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, field = key.split(".")
                state.setdefault(int(index), {})[field] = value
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    return meta
