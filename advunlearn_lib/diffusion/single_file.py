"""Stable Diffusion's original names of weights, and one .safetensors file under them (A1111, ComfyUI).

diffusers converts these names to its own (``loaders/single_file_utils.py``) and has no way back; the tests
hold both against each other. CompVis' UNets are read by the same names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import atomic
from advunlearn_lib.diffusion.model import LatentDiffusion

UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXT, TEXT_XL = "cond_stage_model.transformer.text_model.", "conditioner.embedders.0.transformer.text_model."
OPEN_CLIP = "conditioner.embedders.1.model."
BLOCK = re.compile(
    r"(down|mid|up)_blocks?\.(?:(\d+)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def original_names(part: str) -> Any:
    """diffusers' tables of them."""
    return import_module("diffusers.loaders.single_file_utils").DIFFUSERS_TO_LDM_MAPPING[part]


def unet_names(unet: Any) -> dict[str, str]:
    """Original names, without their prefix, by those of a ``UNet2DConditionModel``."""
    tables = original_names("unet")
    fixed = tables["layers"] | (tables["addition_embed_type"] if unet.config.addition_embed_type else {})
    names, row = list(unet.state_dict()), int(unet.config.layers_per_block) + 1
    attending = {
        int(found[1]) for found in (re.match(r"up_blocks\.(\d+)\.attentions", n) for n in names) if found
    }
    return {name: fixed.get(name) or unet_name(name, row, attending) for name in names}


def unet_name(name: str, row: int, attending: set[int]) -> str:
    """One name within a block of ``row`` layers; ``attending``: the blocks upwards that have attention."""
    kind, block, what, layer, rest = matched(name)
    if what == "resnets":
        rest = replaced(rest, UNET_RESNET)
    if kind == "mid":
        return f"middle_block.{2 * layer if what == 'resnets' else 1}.{rest}"
    if what == "downsamplers":
        return f"input_blocks.{(block + 1) * row}.0.{rest.replace('conv', 'op')}"
    if what == "upsamplers":
        return f"output_blocks.{(block + 1) * row - 1}.{2 if block in attending else 1}.{rest}"
    place = (
        f"input_blocks.{block * row + layer + 1}"
        if kind == "down"
        else f"output_blocks.{block * row + layer}"
    )
    return f"{place}.{0 if what == 'resnets' else 1}.{rest}"


def vae_name(name: str, blocks: int) -> str:
    """The original name, without its prefix, of a weight of an ``AutoencoderKL`` of that many blocks."""
    if name in (names := original_names("vae")):
        return str(names[name])
    half, _, inner = name.partition(".")
    kind, block, what, layer, rest = matched(inner)
    if what == "attentions":
        return f"{half}.mid.attn_1.{replaced(rest, VAE_ATTENTION)}"
    rest = rest.replace("conv_shortcut", "nin_shortcut")
    if kind == "mid":
        return f"{half}.mid.block_{layer + 1}.{rest}"
    place = f"{half}.{kind}.{block if kind == 'down' else blocks - 1 - block}"
    return f"{place}.block.{layer}.{rest}" if what == "resnets" else f"{place}.{kind}sample.{rest}"


def matched(name: str) -> tuple[str, int, str, int, str]:
    """(down, mid or up; block; what; layer; the rest) of diffusers' name of a weight within a block."""
    found = BLOCK.fullmatch(name)
    if found is None:
        raise UserError(f"Stable Diffusion's original names have none for {name!r}")
    return found[1], int(found[2] or 0), found[3], int(found[4]), found[5]


def replaced(rest: str, table: Mapping[str, str]) -> str:
    """``rest`` with the layer that it begins with renamed."""
    layer, _, kind = rest.rpartition(".")
    return f"{table.get(layer, layer)}.{kind}"


def unet_state(unet: Any) -> dict[str, Tensor]:
    """A UNet's weights."""
    state = unet.state_dict()
    return {UNET + old: state[name] for name, old in unet_names(unet).items()}


def vae_state(vae: Any) -> dict[str, Tensor]:
    """A VAE's weights; what is a linear layer of its attention was a convolution."""
    blocks, state = len(vae.config.block_out_channels), {}
    for name, weight in vae.state_dict().items():
        convolution = ".attentions." in name and weight.ndim == 2
        state[VAE + vae_name(name, blocks)] = weight[:, :, None, None] if convolution else weight
    return state


def text_state(text_encoder: Any, prefix: str) -> dict[str, Tensor]:
    """A ``CLIPTextModel``'s weights."""
    state = text_encoder.state_dict().items()
    return {prefix + name.removeprefix("text_model."): weight for name, weight in state}


def open_clip_state(text_encoder: Any) -> dict[str, Tensor]:
    """A ``CLIPTextModelWithProjection``'s weights: q, k and v in one, the projection transposed."""
    tables, state = original_names("openclip"), dict[str, Tensor]()
    whole = text_encoder.state_dict()
    for name, weight in whole.items():
        if name in tables["layers"]:
            state[OPEN_CLIP + tables["layers"][name]] = (
                weight.T if name == "text_projection.weight" else weight
            )
            continue
        old = f"transformer.{name}"
        for new, original in tables["transformer"].items():
            old = old.replace(new, original)
        if ".q_proj." in name:
            joined = torch.cat(
                [whole[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            )
            state[OPEN_CLIP + old.replace(".q_proj.", ".in_proj_")] = joined
        elif not re.search(r"\.[kv]_proj\.", name):
            state[OPEN_CLIP + old] = weight
    return state


def check_single_file(model: LatentDiffusion) -> None:
    """Refuse a model that has no single file.

    Raises :class:`UserError` for Stable Diffusion 2.x, whose file does not say what its UNet predicts.
    """
    first = model.text_encoders()[0].config
    if model.scheduler.config.prediction_type != "epsilon" or first.hidden_act != "quick_gelu":
        raise UserError("a single file is written of Stable Diffusion 1.x and XL alone, not of 2.x")
    unet_names(model.unet)


def save_single_file(model: LatentDiffusion, path: str | Path) -> None:
    """Write the whole model, in fp32, as one .safetensors file.

    Raises :class:`UserError` for another ending, and as :func:`check_single_file`.
    """
    if Path(path).suffix != ".safetensors":
        raise UserError(f"a single file ends in .safetensors, not {str(path)!r}")
    check_single_file(model)
    encoders = model.text_encoders()
    text = text_state(encoders[0], TEXT if len(encoders) == 1 else TEXT_XL)
    more = open_clip_state(encoders[1]) if len(encoders) > 1 else {}
    state = unet_state(model.unet) | vae_state(model.pipeline.vae) | text | more
    whole = {name: weight.cpu().contiguous() for name, weight in state.items()}
    with atomic(Path(path)) as temporary:
        save_file(whole, temporary, {"format": "pt"})
