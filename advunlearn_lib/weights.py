"""A model's trained part on disk: written so that any diffusers user can load it, read from wherever others publish theirs."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextModel

from advunlearn_lib import hub
from advunlearn_lib.errors import UserError
from advunlearn_lib.model import LatentDiffusion

LOADERS = {"text_encoder": CLIPTextModel, "unet": UNet2DConditionModel}
WRAPPED = re.compile(r"^(module\.|state_dict\.|text_encoder\.|unet\.|model\.diffusion_model\.)+")
BUFFER = "embeddings.position_ids"  # in checkpoints of transformers < 4.31; no weight


def save_part(module: Any, folder: str | Path) -> None:
    """Write a ``from_pretrained`` folder; a text encoder's names are those that transformers 4 and 5 both read."""
    if isinstance(module, CLIPTextModel):
        module.save_pretrained(
            folder, state_dict={f"text_model.{name.removeprefix('text_model.')}": w for name, w in module.state_dict().items()}
        )
    else:
        module.save_pretrained(folder)


def load_part(where: str | Path, base: LatentDiffusion, component: str = "") -> tuple[str, Any]:
    """("text_encoder" or "unet", the module) for ``base``, from a folder, a hub id with subfolder, or a .pt or .safetensors file.

    Raises :class:`UserError` where a weight is missing, left over, or of another shape, and names it.
    """
    path = Path(where)
    if path.is_file():
        return from_file(path, base, component)
    name, options = located(str(where))
    for part in [component] if component else LOADERS:
        own = getattr(base, part)
        try:
            module, info = LOADERS[part].from_pretrained(name, output_loading_info=True, **options)
        except Exception as error:
            found: Exception | None = error
            continue
        problems = {kind: sorted(map(str, info.get(f"{kind}_keys", ()))) for kind in ("missing", "unexpected", "mismatched")}
        problems["unexpected"] = [key for key in problems["unexpected"] if not key.endswith(BUFFER)]
        check(where, part, problems, {k: v.shape for k, v in module.state_dict().items()}, own)
        return part, module.to(base.device).float()
    assert found is not None
    raise UserError(f"cannot load a CLIPTextModel or UNet2DConditionModel: {hub.reason(found, where)}")


def located(where: str) -> tuple[str, dict[str, Any]]:
    """A folder, or ``owner/name[/subfolder][@revision]``."""
    if Path(where).exists() or where.startswith(("/", ".", "~")):
        return hub.source(where)
    name, at, revision = where.partition("@")
    owner, repository, *subfolder = [*name.split("/"), ""][:3]
    found, options = hub.source(f"{owner}/{repository}{at}{revision}")
    return found, options | ({"subfolder": subfolder[0]} if subfolder and subfolder[0] else {})


def from_file(path: Path, base: LatentDiffusion, component: str) -> tuple[str, Any]:
    """A state dict of a text encoder or a UNet, under any of the usual prefixes."""
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise UserError(f"cannot read the weights {str(path)!r}: {str(error).splitlines()[0][:160]}") from error
    while isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"the weights {str(path)!r} are no state dict (a mapping of names to tensors)")
    plain = {plain_name(name): value for name, value in state.items() if not name.endswith(BUFFER)}
    part = component or ("text_encoder" if any(name.startswith("encoder.layers.") for name in plain) else "unet")
    own = getattr(base, part)
    names = {plain_name(name): name for name in own.state_dict()}
    problems = {"missing": sorted(set(names) - set(plain)), "unexpected": sorted(set(plain) - set(names)), "mismatched": []}
    check(path, part, problems, {names[name]: value.shape for name, value in plain.items() if name in names}, own)
    module = copy.deepcopy(own)
    module.load_state_dict({names[name]: value for name, value in plain.items()})
    return part, module.float()


def plain_name(name: str) -> str:
    """A weight's name without the levels that wrappers and transformers 4 put above it."""
    return WRAPPED.sub("", name).removeprefix("text_model.")


def check(where: str | Path, part: str, problems: dict[str, list[str]], shapes: dict[str, torch.Size], own: Any) -> None:
    """:class:`UserError` for weights that are not exactly those of ``own``."""
    expected = {name: value.shape for name, value in own.state_dict().items()}
    other = [
        f"{name} {tuple(shape)} instead of {tuple(expected[name])}" for name, shape in shapes.items() if expected.get(name, shape) != shape
    ]
    wrong = problems | {"of another shape": other, "mismatched": [] if other else problems["mismatched"]}
    told = [f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" for kind, names in wrong.items() if names]
    if told or set(shapes) != set(expected):
        raise UserError(f"the weights {str(where)!r} do not fit this {part}: {'; '.join(told) or 'other layers'}")
