"""Weights in the formats that people bring, for the tests of formats, of adapters and of single files."""

import copy

import torch
from safetensors.torch import load_file

from advunlearn_lib.diffusion.single_file import save_single_file

BLOCK = "down_blocks.1.attentions.0"
LAYERS = (
    f"{BLOCK}.transformer_blocks.0.attn1.to_out.0",
    f"{BLOCK}.transformer_blocks.0.attn2.to_k",
    f"{BLOCK}.transformer_blocks.0.ff.net.0.proj",
    f"{BLOCK}.proj_in",
    "mid_block.resnets.1.conv1",
)
ALPHA, RANK = 1.0, 2
CONFIG = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": list(LAYERS)}


def scaled(module):
    """A copy with all weights half as large again."""
    other = copy.deepcopy(module)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1.5)
    return other


def weights(module):
    return {name: weight.contiguous() for name, weight in module.state_dict().items()}


def same(module, state):
    own = module.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[name], state[name]) for name in own)


def original(model, tmp_path):
    """A whole model's state dict under Stable Diffusion's names."""
    save_single_file(model, tmp_path / "whole.safetensors")
    return load_file(tmp_path / "whole.safetensors")


def some(state, *wanted):
    return {name: weight for name, weight in state.items() if any(word in name for word in wanted)}


# -- a UNet's weights, that of `other` whole or in part ----------------------------------------------------


def low_rank(model):
    """(down, up) of each of LAYERS."""
    torch.manual_seed(1)
    made = {}
    for layer in LAYERS:
        rows, columns, *kernel = model.unet.get_submodule(layer).weight.shape
        made[layer] = torch.randn(RANK, columns, *kernel), torch.randn(rows, RANK, *(1 for _ in kernel))
    return made


def added(model, scale):
    """The UNet's weights with W + scale * up down."""
    state = weights(model.unet)
    for layer, (down, up) in low_rank(model).items():
        weight = state[f"{layer}.weight"]
        state[f"{layer}.weight"] = weight + scale * (up.flatten(1) @ down.flatten(1)).view_as(weight)
    return state


def adapter(model, naming):
    """The file's name, its tensors, the scale they are meant with."""
    pairs = low_rank(model).items()
    if naming == "kohya":
        plain = [(f"lora_unet_{layer.replace('.', '_')}", *pair) for layer, pair in pairs]
        downs = {f"{name}.lora_down.weight": down for name, down, _ in plain}
        ups = {f"{name}.lora_up.weight": up for name, _, up in plain}
        alphas = {f"{name}.alpha": torch.tensor(ALPHA) for name, *_ in plain}
        return "spm.safetensors", downs | ups | alphas, ALPHA / RANK
    prefix, scale = ("unet.", 1.0) if naming == "diffusers" else ("base_model.model.", ALPHA / RANK)
    downs = {f"{prefix}{layer}.lora_A.weight": down for layer, (down, _) in pairs}
    ups = {f"{prefix}{layer}.lora_B.weight": up for layer, (_, up) in pairs}
    file = {"peft": "adapter_model", "diffusers": "pytorch_lora_weights"}[naming]
    return f"{file}.safetensors", downs | ups, scale
