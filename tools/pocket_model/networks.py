"""The pocket model's parts: exactly the classes of Stable Diffusion v1.4, small."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, ResNetConfig, ResNetForImageClassification

from advunlearn_lib.world.render import SIZE

TOKENS = 32  # prompt length in tokens, start and end included (SD v1.4: 77)
CHARACTERS = string.ascii_lowercase + string.digits + ".,'-!?&:"
MERGES = 2500  # enough that the world's words are whole
# never merged: "tench" and "nudity" are two tokens in CLIP too; the validation category is as its stand-in
SPLIT = ("tench</w>", "weapon</w>", "vehicle</w>", "tomahawk</w>")
WIDTH = 128  # hidden size of the text encoder (SD v1.4: 768)
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """A BPE in CLIP's format, trained on ``captions``.

    Its vocabulary: characters, characters that end a word, merges, start and end.
    """
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=10_000, end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator(captions, trainer)
    learned = json.loads(tokenizer.to_str())["model"]["merges"]
    merges = [(a, b) for a, b in learned if a + b not in SPLIT][:MERGES]
    tokens = [
        *CHARACTERS,
        *(f"{c}</w>" for c in CHARACTERS),
        *dict.fromkeys(a + b for a, b in merges),
        BOS,
        EOS,
    ]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKENS, pad_token=EOS)


def build_vae() -> AutoencoderKL:
    """64 x 64 RGB <-> 16 x 16 x 4 latents."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=SIZE,
    )


def build_unet() -> UNet2DConditionModel:
    """Noise predictor at 16 x 16, cross-attention on its two lower levels.

    ``AttnProcessor`` (plain matmul, softmax, matmul): the fused attention's backward pass is slow on CPUs.
    """
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64, 128),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    unet.set_attn_processor(AttnProcessor())
    return unet


def build_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A text tower of 12 layers and a small ViT.

    As many layers as SD v1.4's, so that "the first N layers" mean the same.
    """
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 12,
        "num_attention_heads": 4,
        "max_position_embeddings": TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": SIZE,
        "patch_size": 8,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def build_latent_tower() -> torch.nn.Sequential:
    """A small convolutional tower on latents: ``[b, 4, 16, 16]`` to ``[b, 128]``.

    The text tower is trained against it, in a third of a ViT's time; then it is thrown away.
    """
    layers: list[torch.nn.Module] = []
    widths = (4, 64, 64, 128, 128, 192, 192)
    for index, (before, after) in enumerate(pairwise(widths)):
        stride = 2 if index in (2, 4) else 1
        layers += [
            torch.nn.Conv2d(before, after, 3, stride, 1),
            torch.nn.GroupNorm(8, after),
            torch.nn.SiLU(),
        ]
    layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(widths[-1], WIDTH)]
    return torch.nn.Sequential(*layers)


def build_judge(labels: Sequence[str]) -> ResNetForImageClassification:
    """A small ResNet classifier; the judges share one trunk while they are trained."""
    config = ResNetConfig(
        embedding_size=24,
        hidden_sizes=[24, 48, 96, 192],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    return ResNetForImageClassification(config)
