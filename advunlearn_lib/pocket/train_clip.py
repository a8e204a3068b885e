"""Stage *clip*: the tokenizer, the text tower that the UNet
will listen to, and the vision tower that scores pictures.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPModel, CLIPProcessor, CLIPTextModel

from advunlearn_lib.pocket import networks
from advunlearn_lib.pocket.common import PLANS, Folders, image_processor, save_half, tokenize
from advunlearn_lib.pocket.loop import fit
from advunlearn_lib.world.scenes import Dataset


def train_clip(data: Dataset, folders: Folders) -> None:
    """The tokenizer, then text and vision tower by CLIP's symmetric contrastive loss over a batch."""
    torch.manual_seed(1)
    tokenizer = networks.train_tokenizer(scene.caption for scene in data.scenes)
    clip, plan = networks.build_clip(tokenizer), PLANS["clip"]
    ids = tokenize(tokenizer, [scene.caption for scene in data.scenes])
    target = torch.arange(plan.batch)

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = np.sort(rng.choice(len(data.scenes), plan.batch, replace=False))
        words = ids[index]
        # later positions cannot be seen by the pooled token
        longest = int((words != tokenizer.eos_token_id).sum(-1).max()) + 1
        logits = clip(input_ids=words[:, :longest], pixel_values=data.batch(index)).logits_per_image
        value = 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
        return value, {"match": (logits.argmax(-1) == target).float().mean().item()}

    fit("clip", {"clip": clip}, loss, plan, folders.work, folders.log)
    train_vision(clip, ids, data, folders)
    save_half(clip, folders.model.parent / "clip")
    CLIPProcessor(image_processor(), tokenizer).save_pretrained(folders.model.parent / "clip")
    tokenizer.save_pretrained(folders.model / "tokenizer")
    text_encoder = CLIPTextModel(clip.config.text_config)
    text_encoder.load_state_dict(clip.text_model.state_dict())
    save_half(text_encoder, folders.model / "text_encoder")


def train_vision(clip: CLIPModel, ids: torch.Tensor, data: Dataset, folders: Folders) -> None:
    """Vision tower and projections go on against the finished
    text tower: each picture among *all* captions at once.

    The text tower's pooled outputs are computed once, so the many wrong captions cost one matrix product.
    """
    batch = PLANS["clip_vision"].batch
    clip.text_model.requires_grad_(False)
    distinct, which = ids.unique(dim=0, return_inverse=True)
    with torch.no_grad():
        pooled = torch.cat([clip.text_model(part).pooler_output for part in distinct.split(256)])

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = np.sort(rng.choice(len(data.scenes), batch, replace=False))
        texts = F.normalize(clip.text_projection(pooled), dim=-1)
        pictures = F.normalize(clip.get_image_features(data.batch(index)).pooler_output, dim=-1)
        logits = clip.logit_scale.exp() * pictures @ texts.T
        return F.cross_entropy(logits, which[index]), {
            "match": (logits.argmax(-1) == which[index]).float().mean().item()
        }

    for part in ("clip_vision", "clip_vision_2"):  # the second is a warm restart of the learning rate
        fit(part, {"clip": clip}, loss, PLANS[part], folders.work, folders.log)
