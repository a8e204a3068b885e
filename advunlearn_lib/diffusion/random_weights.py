"""Stable Diffusion v1.4's architecture with random weights, as a local snapshot in the hub's layout.

Sizes are those of the published configuration files. It draws noise; it costs what the real model costs.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

VOCABULARY, TOKENS = 49408, 77


def text_config() -> CLIPTextConfig:
    """CLIP ViT-L/14's text encoder, 123,060,480 parameters."""
    ends = {"bos_token_id": VOCABULARY - 2, "eos_token_id": VOCABULARY - 1, "pad_token_id": VOCABULARY - 1}
    sizes = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    }
    return CLIPTextConfig(
        vocab_size=VOCABULARY, max_position_embeddings=TOKENS, hidden_act="quick_gelu", **sizes, **ends
    )


def build_unet() -> UNet2DConditionModel:
    """859,520,964 parameters at 64 x 64 latents."""
    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)


def build_vae() -> AutoencoderKL:
    """83,653,863 parameters, 512 x 512 pictures."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )


def full_tokenizer(small: CLIPTokenizer) -> CLIPTokenizer:
    """``small``'s words under CLIP's size and end tokens; all other ids are numbers."""
    learned = json.loads(small.backend_tokenizer.to_str())["model"]
    ends = (small.bos_token, small.eos_token)
    words = [
        word for word, _ in sorted(learned["vocab"].items(), key=lambda entry: entry[1]) if word not in ends
    ]
    words += [f"<{index}></w>" for index in range(len(words), VOCABULARY - 2)]
    vocabulary = {word: index for index, word in enumerate([*words, *ends])}
    merges = [(first, second) for first, second in learned["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS, pad_token=small.eos_token)


def build_pipeline(small: CLIPTokenizer, device: str = "cpu") -> StableDiffusionPipeline:
    """All of it in single precision, drawn on ``device``; the tokenizer is ``full_tokenizer(small)``."""
    torch.manual_seed(0)
    with torch.device(device):
        parts = {"unet": build_unet(), "vae": build_vae(), "text_encoder": CLIPTextModel(text_config())}
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return StableDiffusionPipeline(
        **parts, tokenizer=full_tokenizer(small), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def write(folder: Path, tokenizer: CLIPTokenizer, dtype: torch.dtype = torch.float16) -> Path:
    """The snapshot, 2.1 GB in half precision; what is there already is kept."""
    if not (folder / "model_index.json").exists():
        build_pipeline(tokenizer).to(dtype).save_pretrained(folder)
    return folder
