"""Checkpoints without pickle: module and optimiser tensors in one safetensors file.

It is written atomically, with the SHA-256 of all it says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from advunlearn_lib.base.files import atomic, set_aside


def save(
    path: Path,
    of: str,
    modules: Mapping[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer | None = None,
    **meta: Any,
) -> None:
    """Write all weights of ``modules`` and the optimiser's moments.

    ``of`` names the training, which no other may go on from; ``meta`` is any JSON.
    """
    tensors = {
        f"{name}.{key}": value
        for name, module in modules.items()
        for key, value in module.state_dict().items()
    }
    if optimizer is not None:
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors, said = {key: value.detach().contiguous() for key, value in tensors.items()}, json.dumps(meta)
    digest = sha256_of_tensors(tensors, of, said)
    with atomic(path) as temporary:
        save_file(tensors, temporary, {"of": of, "meta": said, "sha256": digest})


def load(
    path: Path,
    of: str,
    modules: Mapping[str, torch.nn.Module],
    optimizer: torch.optim.Optimizer | None = None,
) -> dict[str, Any] | None:
    """Restore what :func:`save` wrote and return its ``meta``; None where nothing was written.

    A damaged checkpoint, or another training's, is named and set aside; nothing
    is restored from it, and None returned. Raises ``RuntimeError`` where keys do not match.
    """
    if not path.exists():
        return None
    try:
        tensors, meta = read(path, of)
    except (OSError, ValueError, SafetensorError) as error:
        where = f"the checkpoint {path} is damaged ({error})"
        print(f"{where}; set aside as {set_aside(path).name}, beginning again", flush=True)
        return None
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


def read(path: Path, of: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the ``meta`` of a checkpoint.

    Raises ``ValueError``, ``OSError`` or ``SafetensorError`` where they are not what was written for ``of``.
    """
    with safe_open(path, "pt") as file:
        said = file.metadata() or {}
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    if not {"of", "meta", "sha256"} <= said.keys():
        raise ValueError("it has no SHA-256: an older version made it")
    if said["sha256"] != sha256_of_tensors(tensors, said["of"], said["meta"]):
        raise ValueError("its content is not what was written: another SHA-256")
    if said["of"] != of:
        raise ValueError(f"it is of another training, {said['of']!r}")
    return tensors, json.loads(said["meta"])


def sha256_of_tensors(tensors: Mapping[str, Tensor], *texts: str) -> str:
    """The SHA-256 of ``texts`` and of each tensor's name, type, shape and bytes, in hex digits."""
    digest = hashlib.sha256(json.dumps(texts).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
