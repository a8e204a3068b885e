"""What the training stages share: how long each part is trained, where it is read and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import CLIPImageProcessor, CLIPTokenizer

from advunlearn_lib.pocket.loop import Plan

PLANS = {
    "vae": Plan(steps=2600, batch=16, lr=2e-3, weight_decay=0.0, ema=0.995),
    "clip": Plan(steps=800, batch=128, lr=1e-3, weight_decay=0.05, ema=0.99),
    "clip_vision": Plan(steps=2000, batch=128, lr=1e-3, weight_decay=0.05, ema=0.99),
    "clip_vision_2": Plan(steps=1500, batch=128, lr=1e-3, weight_decay=0.05, ema=0.99),
    "judge": Plan(steps=900, batch=64, lr=2e-3, weight_decay=0.02, ema=0.99),
    "unet": Plan(steps=8000, batch=64, lr=1e-3, weight_decay=0.01, ema=0.999),
    "derived": Plan(steps=500, batch=64, lr=4e-4, weight_decay=0.01, ema=0.99),
}


@dataclass(frozen=True)
class Folders:
    """Where a training run reads and writes."""

    model: Path
    sprites: Path
    work: Path
    log: Path


def save_half(module: torch.nn.Module, folder: Path) -> None:
    """``save_pretrained`` in fp16 safetensors."""
    module.to("cpu", torch.float16).save_pretrained(folder)  # type: ignore[operator]
    module.float()


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Ids ``[n, 24]``, padded with the end token as SD v1.4 pads."""
    encoded = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(encoded.input_ids)


def image_processor() -> CLIPImageProcessor:
    """Only rescaling to [-1, 1]: pocket pictures are 64 x 64 already."""
    half = [0.5, 0.5, 0.5]
    return CLIPImageProcessor(do_resize=False, do_center_crop=False, image_mean=half, image_std=half)
