"""Stage *vision*: CLIP's vision tower, which scores pictures, against the finished text tower."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPProcessor, CLIPTextModel, CLIPTokenizer

from advunlearn_lib.world.scenes import Dataset
from tools.pocket_model import networks
from tools.pocket_model.common import PLANS, Folders, autocast, image_processor, save_half, tokenize
from tools.pocket_model.loop import fit
from tools.pocket_model.train_unet import VARIANTS, embeddings
from tools.pocket_model.training_set import training_captions

OTHERS = 8_000


def train_vision(data: Dataset, folders: Folders) -> None:
    """Vision tower and projections: each picture's caption among those of 8,000 others.

    The text tower's outputs are those the UNet is trained on: the wrong captions cost one matrix product.
    """
    torch.manual_seed(4)
    tokenizer = CLIPTokenizer.from_pretrained(folders.model / "tokenizer")
    clip, plan = networks.build_clip(tokenizer), PLANS["vision"]
    clip.set_attn_implementation("eager")  # the fused attention's backward pass is slow on CPUs
    encoder = CLIPTextModel.from_pretrained(folders.model / "text_encoder").float()
    clip.text_model.load_state_dict(encoder.state_dict())
    clip.text_model.requires_grad_(False)
    captions = training_captions(data, VARIANTS)
    ends = [(tokenize(tokenizer, texts) == tokenizer.eos_token_id).int().argmax(-1) for texts in captions]
    outputs, _ = embeddings(captions, folders)
    pictures = torch.arange(len(data.scenes))
    pooled = [variant[pictures, end].float() for variant, end in zip(outputs, ends, strict=True)]

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = np.sort(rng.choice(len(data.scenes), plan.batch, replace=False))
        others = np.setdiff1d(rng.integers(len(data.scenes), size=OTHERS), index)
        texts = pooled[rng.integers(len(pooled))][np.concatenate([index, others])]
        with autocast():
            wanted = F.normalize(clip.text_projection(texts).float(), dim=-1)
            seen = F.normalize(clip.get_image_features(data.batch(index)).pooler_output.float(), dim=-1)
            logits = (clip.logit_scale.exp() * (seen @ wanted.T)).float()
        target = torch.arange(plan.batch)
        match = (logits.argmax(-1) == target).float().mean().item()
        return F.cross_entropy(logits, target), {"match": match}

    fit("vision", {"clip": clip}, loss, plan, folders.work, folders.log)
    save_half(clip, folders.model.parent / "clip")
    CLIPProcessor(image_processor(), tokenizer).save_pretrained(folders.model.parent / "clip")
