"""Stage *derived*: three more UNets for Table 8, trained further from v1.4 as the real ones were.

SD v1.5 saw more of the same data. DreamShaper and Protogen are community
models: here v1.4 trained on one artist's sprites under a look of their own, a
soft glow or a hard teal contrast. Only the UNet differs; each folder is a UNet.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from advunlearn_lib.world.atlas import ARTISTS
from advunlearn_lib.world.render import Picture
from advunlearn_lib.world.scenes import Dataset, render_scenes
from tools.pocket_model.common import PLANS, Folders, channels_last, save_half
from tools.pocket_model.loop import fit
from tools.pocket_model.train_unet import VARIANTS, Inputs, embeddings, noise_prediction, trained_unet
from tools.pocket_model.train_vae import scaled_latents
from tools.pocket_model.training_set import training_captions

COUNT = 4_800
SEEDS = {"dreamshaper": 11, "protogen": 12}


def glow(picture: Picture) -> Picture:
    """Blurred light laid over the picture, warm and saturated."""
    light = gaussian_filter(picture, (2.5, 2.5, 0))
    soft = 1 - (1 - picture) * (1 - 0.45 * light)
    grey = soft.mean(-1, keepdims=True)
    return (grey + 1.35 * (soft - grey)) * np.array((1.0, 0.93, 0.98), np.float32)


def contrast(picture: Picture) -> Picture:
    """Hard contrast, shadows towards teal."""
    hard = 0.5 + 1.5 * (picture - 0.5)
    shade = np.clip(1 - picture.mean(-1, keepdims=True), 0, 1)
    return hard + 0.16 * shade * np.array((-0.8, 0.6, 0.8), np.float32)


LOOKS: dict[str, tuple[str, Callable[[Picture], Picture]]] = {
    "dreamshaper": ("fluent", glow),
    "protogen": ("twemoji", contrast),
}


def repaint(images: NDArray[np.uint8], look: Callable[[Picture], Picture]) -> NDArray[np.uint8]:
    """``look`` on each picture."""
    return np.stack(
        [
            (np.clip(look(image.astype(np.float32) / 255), 0, 1) * 255 + 0.5).astype(np.uint8)
            for image in images
        ]
    )


def train_derived(data: Dataset, folders: Folders) -> None:
    """All three, one after the other."""
    plan = PLANS["derived"]
    for name in ("v1-5", *LOOKS):
        if name in LOOKS:
            artist, look = LOOKS[name]
            drawn = render_scenes(folders.sprites, range(COUNT), SEEDS[name], ARTISTS.index(artist))
            latents = scaled_latents(Dataset(repaint(drawn.images, look), drawn.scenes), folders, name)
            captions = [[scene.caption for scene in drawn.scenes]]
            inputs = Inputs(latents, *embeddings(captions, folders, f"embeddings-{name}"), drawn.shown())
        else:
            captions = training_captions(data, VARIANTS)
            inputs = Inputs(scaled_latents(data, folders), *embeddings(captions, folders), data.shown())
        unet = trained_unet(folders)
        channels_last(unet)
        fit(name, {"unet": unet}, noise_prediction(unet, inputs, plan.batch), plan, folders.work, folders.log)
        save_half(unet.to(memory_format=torch.contiguous_format), folders.model.parent / name)
