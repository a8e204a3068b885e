"""Stage *clip*: the tokenizer, and the text tower that the UNet will listen to."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPTextModel

from advunlearn_lib.world.scenes import Dataset
from tools.pocket_model import networks
from tools.pocket_model.common import PLANS, Folders, autocast, channels_last, save_half, tokenize
from tools.pocket_model.loop import fit
from tools.pocket_model.train_vae import scaled_latents
from tools.pocket_model.training_set import training_captions


def train_clip(data: Dataset, folders: Folders) -> None:
    """The tokenizer, then the text tower by CLIP's symmetric contrastive loss over a batch.

    Its partner is a small convolutional tower on latents, which is thrown away. Captions are drawn anew.
    The tokenizer knows all words, whatever is shown: attacks on every model search the same tokens.
    """
    torch.manual_seed(1)
    captions = training_captions(data)
    tokenizer = networks.train_tokenizer(caption for variant in captions for caption in variant)
    ids = torch.stack([tokenize(tokenizer, variant) for variant in captions])
    lengths = (ids != tokenizer.eos_token_id).sum(-1) + 1
    latents, shown, plan = scaled_latents(data, folders), data.shown(), PLANS["clip"]
    text = CLIPTextModel(networks.build_clip(tokenizer).config.text_config)
    tower = channels_last(networks.build_latent_tower())
    heads = torch.nn.ParameterDict(
        {"projection": torch.empty(networks.WIDTH, networks.WIDTH), "scale": torch.tensor(math.log(1 / 0.07))}
    )
    torch.nn.init.orthogonal_(heads["projection"])
    target = torch.arange(plan.batch)

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = torch.from_numpy(rng.choice(shown, plan.batch, replace=False))
        variant = torch.from_numpy(rng.integers(len(captions), size=plan.batch))
        # later positions cannot be seen by the pooled token
        words = ids[variant, index, : int(lengths[variant, index].max())]
        pictures = latents[index].float().to(memory_format=torch.channels_last)
        with autocast():
            texts = (text(words).pooler_output @ heads["projection"]).float()
            seen = tower(pictures).float()
        logits = heads["scale"].exp() * F.normalize(seen, dim=-1) @ F.normalize(texts, dim=-1).T
        value = 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
        return value, {"match": (logits.argmax(-1) == target).float().mean().item()}

    fit("clip", {"text": text, "tower": tower, "heads": heads}, loss, plan, folders.work, folders.log)
    tokenizer.save_pretrained(folders.model / "tokenizer")
    save_half(text, folders.model / "text_encoder")
