"""Weights in the files that people publish, under the names of diffusers and transformers.

State dicts alone or within a training checkpoint, CompVis' names, several precisions.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.single_file import unet_names

WRAPPED = re.compile(r"^(module\.|state_dict\.|text_encoder\.|unet\.|model\.diffusion_model\.)+")
LEVEL = re.compile(
    r"(^|\.)text_model\."
)  # transformers 4 has this level in every name, transformers 5 does not
BUFFER = "embeddings.position_ids"  # in checkpoints of transformers < 4.31; no weight
NESTED = ("state_dict", "model", "unet", "text_encoder", "module")  # where training checkpoints keep weights
DEEPEST = 4
ORIGINAL = re.compile(
    r"(time_embed|input_blocks|middle_block|output_blocks|out|label_emb)\."
)  # CompVis' UNet
WHOLE = re.compile(r"(cond_stage_model|conditioner)\.")  # text encoders of a whole model
CLIP = "cond_stage_model.transformer."
VARIANT = re.compile(r"model\.(\w+?)(-\d+-of-\d+)?\.safetensors$")
MERGE = (
    'python -c "import torch; from diffusers import DiffusionPipeline as P; '
    "p = P.from_pretrained('BASE', dtype=torch.float32); {}; p.save_pretrained('OUT')\" "
    "and give OUT as the base"
)
SHOWN = 3


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a .safetensors file or of a pickle, of which only tensors are read.

    It may stand within a training checkpoint. Raises :class:`UserError` for what holds none.
    """
    try:
        state: Any
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # foreign bytes raise anything
        raise UserError(f"cannot read the weights {str(path)!r}: {reason(error)}") from error
    for _ in range(DEEPEST):
        inner = [name for name in NESTED if isinstance(state, dict) and isinstance(state.get(name), dict)]
        if len(inner) > 1:
            several = f"several state dicts ({', '.join(inner)})"
            raise UserError(f"the weights {str(path)!r} are {several}; save one of them alone")
        state = state[inner[0]] if inner else state
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise UserError(f"the weights {str(path)!r} are not a state dict (a mapping of names to tensors)")
    if not state:
        raise UserError(f"the weights {str(path)!r} hold no tensor")
    return state


def reason(error: Exception) -> str:
    """What went wrong with a file, in one line."""
    if isinstance(error, pickle.UnpicklingError):
        return "it is no pickle of tensors alone (allowed: a saved state dict, or .safetensors)"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def plain_name(name: str) -> str:
    """A weight's name without the levels that wrappers and transformers 4 put above it."""
    return LEVEL.sub(r"\1", WRAPPED.sub("", name))


def plain_names(names: Iterable[str]) -> list[str]:
    """Of weights alone: buffers that old checkpoints hold are left out."""
    return [plain_name(name) for name in names if not name.endswith(BUFFER)]


def first(names: Iterable[str]) -> str:
    """The first few of ``names``."""
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (", ..." if len(listed) > SHOWN else "")


def variants(where: str) -> list[dict[str, str]]:
    """What ``from_pretrained`` is to be told of the weights' file names, in the order to try.

    A local folder shows it: ``model.fp16.safetensors`` without ``model.safetensors`` beside it.
    """
    if not Path(where).is_dir():
        return [{}, {"variant": "fp16"}]
    files = list(Path(where).rglob("*.safetensors"))
    named = {file: found[1] for file in files if (found := VARIANT.search(file.name))}
    plain = {file.parent for file in files if file not in named}
    alone = [str(name) for file, name in named.items() if file.parent not in plain]
    return [{"variant": alone[0]}] if alone else [{}]


# -- a part's own state dict -----------------------------------------------------------------------------


def part_state(
    path: Path, state: Mapping[str, Tensor], base: LatentDiffusion, component: str
) -> tuple[str, dict[str, Tensor]]:
    """The component that ``state`` is of, and its weights by plain name in fp32.

    Raises :class:`UserError` for a textual inversion, a tensor that is no weight, and a whole model from
    which more than one part would be taken.
    """
    widths = [encoder.config.hidden_size for encoder in base.text_encoders()]
    if not any("." in name for name in state) and all(v.shape[-1:].numel() in widths for v in state.values()):
        call = f"p.load_textual_inversion({str(path)!r})"
        raise UserError(
            f"{str(path)!r} is a textual inversion (vectors of {first(state)}), no text encoder or UNet: "
            f"put it into a pipeline with {MERGE.format(call)}"
        )
    named = {plain_name(name): value for name, value in state.items() if not name.endswith(BUFFER)}
    if any(ORIGINAL.match(name) and "blocks." in name for name in named):
        part, named = original_part(path, named, base, component)
    else:
        text = any("encoder.layers." in name for name in named)
        part = component or ("text_encoder" if text else "unet")
    return part, {name: dense(path, name, value) for name, value in named.items()}


def dense(path: Path, name: str, value: Tensor) -> Tensor:
    """A weight in fp32; complex ones are left to ``check_tensors``."""
    if value.layout != torch.strided or value.is_meta or value.is_quantized:
        raise not_dense(path, name, "sparse, quantized or without values")
    if value.is_complex():
        return value
    if not value.is_floating_point():
        raise not_dense(path, name, str(value.dtype).removeprefix("torch."))
    return value.float()


def not_dense(path: Path, name: str, what: str) -> UserError:
    """The error that names the tensor."""
    return UserError(f"the weights {str(path)!r}: {name} is {what} (allowed: dense floating-point tensors)")


def original_part(
    path: Path, state: Mapping[str, Tensor], base: LatentDiffusion, component: str
) -> tuple[str, dict[str, Tensor]]:
    """The same of CompVis' names: a UNet, or a whole model in which one part is not that of ``base``."""
    names = {old: new for new, old in unet_names(base.unet).items()}
    unet = {names.get(name, name): value for name, value in state.items() if ORIGINAL.match(name)}
    whole = [name for name in state if WHOLE.match(name)]
    if not whole or component == "unet":
        return "unet", unet
    text = {name.removeprefix(CLIP): state[name] for name in whole if name.startswith(CLIP)}
    if component:
        return component, text
    if not text:
        raise UserError(f"{str(path)!r} is a whole model of Stable Diffusion 2.x or XL: give it as --base")
    parts = {"unet": unet, "text_encoder": text}
    changed = [part for part, weights in parts.items() if not alike(weights, getattr(base, part))]
    if len(changed) != 1:
        those = "more than one part" if changed else "neither the UNet nor the text encoder"
        raise UserError(
            f"{str(path)!r} is a whole model, in which {those} differs from the base: give it as --base"
        )
    return changed[0], parts[changed[0]]


def alike(weights: Mapping[str, Tensor], module: Any) -> bool:
    """Are ``weights`` those of ``module``, as far as half precision tells?"""
    own = {plain_name(name): value for name, value in module.state_dict().items()}
    return weights.keys() == own.keys() and all(
        torch.equal(weights[name].half(), value.half().cpu()) for name, value in own.items()
    )
