"""A model's trained part on disk.

It is written so that any diffusers user can load it, and read from where others publish theirs.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion import hub
from advunlearn_lib.diffusion.adapters import is_adapter, merged
from advunlearn_lib.diffusion.classes import class_named
from advunlearn_lib.diffusion.finite import check_finite, check_tensors
from advunlearn_lib.diffusion.formats import (
    first,
    part_state,
    plain_name,
    plain_names,
    read_state,
    variants,
)

if TYPE_CHECKING:
    from advunlearn_lib.diffusion.model import LatentDiffusion

ADAPTERS = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")  # peft's, diffusers'


def save_part(module: Any, folder: str | Path) -> None:
    """Write a ``from_pretrained`` folder, the same wherever it is written.

    A text encoder's names are those that transformers 4 and 5 both read; a UNet's configuration would name
    the folder that its base was read from.
    """
    if isinstance(module, class_named("CLIPTextModel")):
        state = module.state_dict().items()
        named = {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in state}
        module.save_pretrained(folder, state_dict=named)
        return
    if isinstance(module, class_named("UNet2DConditionModel")):
        module.register_to_config(_name_or_path="")
    module.save_pretrained(folder)


def load_part(where: str | Path, base: LatentDiffusion, component: str = "") -> tuple[str, Any]:
    """A trained part: "text_encoder" or "unet", and the module.

    The module is in fp32 on the device of ``base``, from a folder, a hub id with subfolder
    (``owner/name/sub/folder@revision``), or a .pt or .safetensors file. Without ``component`` it is told from
    what is found. Raises :class:`UserError` where a weight is missing, left over, of another shape, or
    not finite and real, and names it.
    """
    path = next((file for name in ADAPTERS if (file := Path(where) / name).is_file()), Path(where))
    if path.is_file():
        part, module = part_from_file(path, base, component)
    else:
        part, module = part_from_folder(str(where), base, component)
    check_finite(where, module)
    return part, module.to(base.device).float()


def part_from_folder(where: str, base: LatentDiffusion, component: str) -> tuple[str, Any]:
    """The first component of ``base`` that the folder or hub id holds."""
    name, options = locate(where)
    error: Exception | None = None
    for part, variant in product([component] if component else base.PARTS, variants(name)):
        try:
            modules, shapes = read_modules(name, options | variant, base.PARTS[part])
        except Exception as reason:  # transformers, diffusers, safetensors and hub each raise their own
            error = error or reason
            continue
        check(where, part, shapes, getattr(base, part))
        return part, base.join_parts(modules)
    assert error is not None
    raise UserError(f"cannot load a text encoder or UNet: {hub.reason(error, where)}") from error


def locate(where: str) -> tuple[str, dict[str, Any]]:
    """What ``from_pretrained`` takes for a folder, or for ``owner/name[/sub/folder][@revision]``."""
    if Path(where).exists() or where.startswith(("/", ".", "~")):
        return hub.location(where)
    name, at, revision = where.partition("@")
    owner, repository, subfolder = (*name.split("/", 2), "", "")[:3]
    if not repository:
        return hub.location(where)
    repository_id, options = hub.location(f"{owner}/{repository}{at}{revision}")
    return repository_id, options | ({"subfolder": subfolder} if subfolder else {})


def read_modules(
    name: str, options: dict[str, Any], classes: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, torch.Size]]:
    """The modules of a component by subfolder, and the shapes of all weights that were found for them."""
    modules, shapes = {}, dict[str, torch.Size]()
    for subfolder, cls in classes.items():
        below = "/".join(filter(None, (options.get("subfolder", ""), subfolder)))
        module, info = class_named(cls).from_pretrained(
            name, output_loading_info=True, **(options | ({"subfolder": below} if below else {}))
        )
        level = f"{subfolder}." if subfolder else ""
        missing = set(plain_names(map(str, info["missing_keys"])))
        weights = {plain_name(key): value.shape for key, value in module.state_dict().items()}
        unexpected = dict.fromkeys(plain_names(map(str, info["unexpected_keys"])), torch.Size())
        present = {key: shape for key, shape in (weights | unexpected).items() if key not in missing}
        modules[subfolder] = module
        shapes |= {plain_name(f"{level}{key}"): shape for key, shape in present.items()}
    return modules, shapes


def part_from_file(path: Path, base: LatentDiffusion, component: str) -> tuple[str, Any]:
    """A text encoder or a UNet, under any of the usual names; an adapter is merged into the base's."""
    state = read_state(path)
    if is_adapter(state):
        return merged(path, state, base)
    part, state = part_state(path, state, base, component)
    module = copy.deepcopy(getattr(base, part))
    check_tensors(path, state)
    kept = left_out(path, state, module) if part == "unet" else {}
    check(path, part, {name: value.shape for name, value in (state | kept).items()}, module)
    if kept:
        own = len(module.state_dict())
        taken = f"{len(state)} of the UNet's {own} tensors; the other {len(kept)} are the base's"
        print(f"{path}: {taken}", file=sys.stderr, flush=True)
    names = {plain_name(name): name for name in module.state_dict()}
    module.load_state_dict({names[name]: value for name, value in (state | kept).items()})
    return part, module


def left_out(path: Path, state: Mapping[str, Tensor], unet: Any) -> dict[str, Tensor]:
    """The weights of ``unet`` in layers of which ``state`` has nothing, as those not trained.

    Raises :class:`UserError` where ``state`` has no weight of the UNet.
    """
    own = unet.state_dict()
    if own.keys().isdisjoint(state):
        names = f"none of their {len(state)} names ({first(state)}) is one of its {len(own)} ({first(own)})"
        raise UserError(f"the weights {str(path)!r} do not fit this unet: {names}")
    there = {name.rpartition(".")[0] for name in state}
    return {name: weight for name, weight in own.items() if name.rpartition(".")[0] not in there}


def check(where: str | Path, part: str, shapes: Mapping[str, torch.Size], module: Any) -> None:
    """Refuse weights whose ``shapes``, by plain name, are not exactly those of ``module``.

    Raises :class:`UserError`.
    """
    expected = {plain_name(name): value.shape for name, value in module.state_dict().items()}
    other = [
        f"{name} {tuple(shapes[name])} instead of {tuple(shape)}"
        for name, shape in expected.items()
        if shapes.get(name, shape) != shape
    ]
    problems = {
        "missing": sorted(expected.keys() - shapes.keys()),
        "unexpected": sorted(shapes.keys() - expected.keys()),
        "of another shape": other,
    }
    listed = [f"{len(names)} {what} ({first(names)})" for what, names in problems.items() if names]
    if listed:
        raise UserError(f"the weights {str(where)!r} do not fit this {part}: {'; '.join(listed)}")
