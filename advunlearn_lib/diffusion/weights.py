"""A model's trained part on disk.

It is written so that any diffusers user can load it, and read from where others publish theirs.
"""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextModel

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion import hub
from advunlearn_lib.diffusion.finite import check_finite, check_tensors

if TYPE_CHECKING:
    from advunlearn_lib.diffusion.model import LatentDiffusion

WRAPPED = re.compile(r"^(module\.|state_dict\.|text_encoder\.|unet\.|model\.diffusion_model\.)+")
LEVEL = re.compile(
    r"(^|\.)text_model\."
)  # transformers 4 has this level in every name, transformers 5 does not
BUFFER = "embeddings.position_ids"  # in checkpoints of transformers < 4.31; no weight
SHOWN = 3


def save_part(module: Any, folder: str | Path) -> None:
    """Write a ``from_pretrained`` folder.

    A text encoder's names are those that transformers 4 and 5 both read.
    """
    if isinstance(module, CLIPTextModel):
        state = module.state_dict().items()
        named = {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in state}
        module.save_pretrained(folder, state_dict=named)
    else:
        module.save_pretrained(folder)


def load_part(where: str | Path, base: LatentDiffusion, component: str = "") -> tuple[str, Any]:
    """A trained part: "text_encoder" or "unet", and the module.

    The module is in fp32 on the device of ``base``, from a folder, a hub id with subfolder
    (``owner/name/sub/folder@revision``), or a .pt or .safetensors file. Without ``component`` it is told from
    what is found. Raises :class:`UserError` where a weight is missing, left over, of another shape, or
    not finite and real, and names it.
    """
    path = Path(where)
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
    for part in [component] if component else base.PARTS:
        try:
            modules, shapes = read_modules(name, options, base.PARTS[part])
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
    name: str, options: dict[str, Any], classes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, torch.Size]]:
    """The modules of a component by subfolder, and the shapes of all weights that were found for them."""
    modules, shapes = {}, dict[str, torch.Size]()
    for subfolder, cls in classes.items():
        below = "/".join(filter(None, (options.get("subfolder", ""), subfolder)))
        module, info = cls.from_pretrained(
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
    """A state dict of a text encoder or a UNet, under any of the usual prefixes."""
    state = {plain_name(name): value for name, value in read_state(path).items() if not name.endswith(BUFFER)}
    text = any("encoder.layers." in name for name in state)
    part = component or ("text_encoder" if text else "unet")
    module = copy.deepcopy(getattr(base, part))
    check_tensors(path, state)
    check(path, part, {name: value.shape for name, value in state.items()}, module)
    names = {plain_name(name): name for name in module.state_dict()}
    module.load_state_dict({names[name]: value for name, value in state.items()})
    return part, module


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a .safetensors file or of a pickle, of which only tensors are read."""
    try:
        state: Any
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError) as error:
        raise UserError(
            f"cannot read the weights {str(path)!r}: {str(error).splitlines()[0][:160]}"
        ) from error
    while isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"the weights {str(path)!r} are not a state dict (a mapping of names to tensors)")
    return state


def plain_name(name: str) -> str:
    """A weight's name without the levels that wrappers and transformers 4 put above it."""
    return LEVEL.sub(r"\1", WRAPPED.sub("", name))


def plain_names(names: Iterable[str]) -> list[str]:
    """Of weights alone: buffers that old checkpoints hold are left out."""
    return [plain_name(name) for name in names if not name.endswith(BUFFER)]


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


def first(names: list[str]) -> str:
    """The first few of ``names``."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
