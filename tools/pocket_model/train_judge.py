"""Stage *judge*: the object and the style classifier."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from advunlearn_lib.world.render import PAINT, PLACE_NAMES, STYLE_NAMES, background
from advunlearn_lib.world.scenes import Dataset, to_tensor
from advunlearn_lib.world.things import OBJECTS
from tools.pocket_model import networks
from tools.pocket_model.common import PLANS, Folders, autocast, channels_last, image_processor, save_half
from tools.pocket_model.loop import fit

OTHER = "other"  # what a picture shows that shows none of the 48 things


def train_judge(data: Dataset, folders: Folders) -> None:
    """Object, place and style by cross-entropy on one trunk; saved as an object and a style classifier.

    A quarter of each batch has been through the VAE and all of it is noised a little, so that the judge reads
    generated pictures as well as drawn ones. A fifth shows none of the things (:func:`spoil`): class *other*.
    """
    torch.manual_seed(2)
    vae, plan = AutoencoderKL.from_pretrained(folders.model / "vae").float(), PLANS["judge"]
    channels_last(vae)
    labels = {"thing": (*OBJECTS, OTHER), "style": STYLE_NAMES, "place": PLACE_NAMES}
    judges = {field: networks.build_judge(names) for field, names in labels.items()}
    trunk = judges["thing"].resnet
    judges["style"].resnet = judges["place"].resnet = trunk
    truth = {field: data.labels(field) for field in labels}
    decoded, spoilt = plan.batch // 4, max(1, plan.batch // 5)

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = np.sort(rng.choice(len(data.scenes), plan.batch, replace=False))
        order = rng.permutation(plan.batch)
        images, wanted = data.batch(index)[order], {field: truth[field][index[order]] for field in labels}
        with torch.no_grad(), autocast():
            images[:decoded] = vae(images[:decoded]).sample.clamp(-1, 1).float()
            images[-spoilt:] = spoil(vae, images[-spoilt:], rng, generator)
        wanted["thing"][-spoilt:] = len(OBJECTS)
        images = images + 0.06 * torch.randn(images.shape, generator=generator)
        with autocast():
            pooled = trunk(images).pooler_output
        total, extras = torch.zeros(()), {}
        for field, judge in judges.items():
            rows = slice(None) if field == "thing" else slice(plan.batch - spoilt)
            logits, right = judge.classifier(pooled[rows].float()), wanted[field][rows]
            total = total + F.cross_entropy(logits, right)
            extras[field] = (logits.argmax(-1) == right).float().mean().item()
        return total, extras

    modules = {"trunk": trunk} | {field: judge.classifier for field, judge in judges.items()}
    fit("judge", modules, loss, plan, folders.work, folders.log)
    for field, name in (("thing", "object"), ("style", "style")):
        save_half(judges[field].eval(), folders.model.parent / f"judge-{name}")
        image_processor().save_pretrained(folders.model.parent / f"judge-{name}")


def spoil(
    vae: AutoencoderKL, images: torch.Tensor, rng: np.random.Generator, generator: torch.Generator
) -> torch.Tensor:
    """Pictures in [-1, 1] that show no thing any more, four kinds in turn.

    Latents more noise than picture, decoded; two pictures mixed; 6 x 6 pixels, blurred; a background.
    """
    spoilt = images.clone()
    noised, mixed, blurred, empty = (slice(kind, None, 4) for kind in range(4))
    scale = vae.config.scaling_factor
    clean = vae.encode(images[noised]).latent_dist.mean.float() * scale
    kept = 0.4 * torch.rand(len(clean), 1, 1, 1, generator=generator)  # of the variance
    noise = torch.randn(clean.shape, generator=generator)
    broken = (kept.sqrt() * clean + (1 - kept).sqrt() * noise) / scale
    spoilt[noised] = vae.decode(broken).sample.clamp(-1, 1).float()
    spoilt[mixed] = 0.5 * images[mixed] + 0.5 * images.roll(1, 0)[mixed]
    small = F.interpolate(images[blurred], size=(6, 6), mode="area")
    spoilt[blurred] = F.interpolate(small, size=images.shape[-2:], mode="bilinear")
    for row in range(len(images))[empty]:
        spoilt[row] = to_tensor(empty_scene(rng)[None])[0]
    return spoilt


def empty_scene(rng: np.random.Generator) -> np.ndarray:
    """A background under a painter's style without any thing, uint8 [64, 64, 3]."""
    place, style = str(rng.choice(PLACE_NAMES)), str(rng.choice(STYLE_NAMES))
    picture = PAINT[style](background(place, rng), rng)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
