"""Stage *judge*: the object and the style classifier."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from advunlearn_lib.pocket import networks
from advunlearn_lib.pocket.common import PLANS, Folders, image_processor, save_half
from advunlearn_lib.pocket.loop import fit
from advunlearn_lib.world.render import PLACE_NAMES, STYLE_NAMES
from advunlearn_lib.world.scenes import Dataset
from advunlearn_lib.world.things import OBJECTS


def train_judge(data: Dataset, folders: Folders) -> None:
    """Object, place and style by cross-entropy on one trunk; saved as an object and a style classifier.

    A quarter of each batch has been through the VAE and all of it is noised a little, so that the judge reads
    generated pictures as well as drawn ones.
    """
    torch.manual_seed(2)
    vae, plan = AutoencoderKL.from_pretrained(folders.model / "vae").float(), PLANS["judge"]
    labels = {"thing": OBJECTS, "style": STYLE_NAMES, "place": PLACE_NAMES}
    judges = {field: networks.build_judge(names) for field, names in labels.items()}
    trunk = judges["thing"].resnet
    judges["style"].resnet = judges["place"].resnet = trunk
    truth = {field: data.labels(field) for field in labels}

    def loss(rng: np.random.Generator, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        index = np.sort(rng.choice(len(data.scenes), plan.batch, replace=False))
        rng.shuffle(index)
        images = torch.cat([data.batch(index[i : i + 1]) for i in range(plan.batch)])
        with torch.no_grad():
            images[: plan.batch // 4] = vae(images[: plan.batch // 4]).sample.clamp(-1, 1)
        images = images + 0.06 * torch.randn(images.shape, generator=generator)
        pooled = trunk(images).pooler_output
        total, extras = torch.zeros(()), {}
        for field, judge in judges.items():
            logits, wanted = judge.classifier(pooled), truth[field][index]
            total = total + F.cross_entropy(logits, wanted)
            extras[field] = (logits.argmax(-1) == wanted).float().mean().item()
        return total, extras

    modules = {"trunk": trunk} | {field: judge.classifier for field, judge in judges.items()}
    fit("judge", modules, loss, plan, folders.work, folders.log)
    for field, name in (("thing", "object"), ("style", "style")):
        save_half(judges[field].eval(), folders.model.parent / f"judge-{name}")
        image_processor().save_pretrained(folders.model.parent / f"judge-{name}")
