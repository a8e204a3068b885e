"""What the training stages share: how long each part is trained, where it is read and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import CLIPImageProcessor, CLIPTokenizer

from tools.pocket_model.loop import Plan

PLANS = {
    "vae": Plan(steps=2600, batch=16, lr=2e-3, weight_decay=0.0, ema=0.995),
    "clip": Plan(steps=2400, batch=128, lr=1e-3, weight_decay=0.05, ema=0.99),
    "judge": Plan(steps=2500, batch=64, lr=2e-3, weight_decay=0.02, ema=0.99),
    "unet": Plan(steps=4000, batch=64, lr=1e-3, weight_decay=0.01, ema=0.999),
    "unet_2": Plan(steps=4000, batch=64, lr=7e-4, weight_decay=0.01, ema=0.999),
    "vision": Plan(steps=2000, batch=128, lr=1e-3, weight_decay=0.05, ema=0.99),
    "derived": Plan(steps=500, batch=64, lr=4e-4, weight_decay=0.01, ema=0.99),
}


def autocast() -> torch.autocast:
    """bf16 where the processor computes in it, else fp32."""
    can: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.6 has no such function
    return torch.autocast("cpu", torch.bfloat16, enabled=can.get("avx512_bf16", False))


def channels_last(network: torch.nn.Module) -> torch.nn.Module:
    """``network`` in the layout that convolutions like; its group norms in the other.

    In bf16 they take ten to twenty times as long in this one.
    """
    for norm in network.modules():
        if isinstance(norm, torch.nn.GroupNorm):
            norm.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
            norm.register_forward_hook(lambda _, __, out: out.contiguous(memory_format=torch.channels_last))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@dataclass(frozen=True)
class Folders:
    """Where a training run reads and writes.

    ``without``: what its model never sees; a model without a concept shares the shipped VAE.
    """

    model: Path
    sprites: Path
    work: Path
    log: Path
    without: tuple[str, ...] = ()


def save_half(module: torch.nn.Module, folder: Path) -> None:
    """``save_pretrained`` in fp16 safetensors."""
    module.to("cpu", torch.float16).save_pretrained(folder)  # type: ignore[operator]
    module.float()


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Ids ``[n, 32]``, padded with the end token as SD v1.4 pads."""
    encoded = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(encoded.input_ids)


def image_processor() -> CLIPImageProcessor:
    """Only rescaling to [-1, 1]: pocket pictures are 64 x 64 already."""
    half = [0.5, 0.5, 0.5]
    return CLIPImageProcessor(do_resize=False, do_center_crop=False, image_mean=half, image_std=half)
