"""Stage *vision*: CLIP's vision tower, which scores pictures, against the finished text tower."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPProcessor, CLIPTextModel, CLIPTokenizer

from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.pocket import networks
from advunlearn_lib.pocket.common import PLANS, Folders, autocast, image_processor, save_half, tokenize
from advunlearn_lib.pocket.loop import fit
from advunlearn_lib.pocket.training_set import training_captions
from advunlearn_lib.world.scenes import Dataset


def train_vision(data: Dataset, folders: Folders) -> None:
    """Vision tower and projections: each picture among *all* pictures' captions of one variant at once.

    The text tower's pooled outputs are computed once, so the many wrong captions cost one matrix product.
    """
    torch.manual_seed(4)
    tokenizer = CLIPTokenizer.from_pretrained(folders.model / "tokenizer")
    clip, plan = networks.build_clip(tokenizer), PLANS["vision"]
    encoder = CLIPTextModel.from_pretrained(folders.model / "text_encoder").float()
    clip.text_model.load_state_dict(encoder.state_dict())
    clip.text_model.requires_grad_(False)
    pooled = [pooled_texts(encoder, tokenize(tokenizer, captions)) for captions in training_captions(data)]

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = np.sort(rng.choice(len(data.scenes), plan.batch, replace=False))
        with autocast():
            texts = F.normalize(clip.text_projection(pooled[rng.integers(len(pooled))]).float(), dim=-1)
            seen = clip.get_image_features(data.batch(index)).pooler_output.float()
            logits = clip.logit_scale.exp() * (F.normalize(seen, dim=-1) @ texts.T)
        target = torch.from_numpy(index)
        match = (logits.argmax(-1) == target).float().mean().item()
        return F.cross_entropy(logits.float(), target), {"match": match}

    fit("vision", {"clip": clip}, loss, plan, folders.work, folders.log)
    save_half(clip, folders.model.parent / "clip")
    CLIPProcessor(image_processor(), tokenizer).save_pretrained(folders.model.parent / "clip")


@torch.no_grad()
def pooled_texts(encoder: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """The text tower's pooled outputs [n, 128] of token ids [n, l]."""
    with autocast():
        parts = [encoder(part).pooler_output.float() for part in tqdm(ids.split(512), desc="encode captions")]
    return torch.cat(parts)
