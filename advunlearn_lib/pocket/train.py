"""Train the pocket model from the sprite atlas: ``./reproduce.sh pocket-train [--stage vae|clip|judge|unet|derived]``.

In this order. Each stage leaves its part of ``data/pocket/``; a stopped stage resumes from its checkpoint.
"""

from __future__ import annotations

from advunlearn_lib import plots
from advunlearn_lib.pocket.common import Folders
from advunlearn_lib.pocket.dataset import training_set
from advunlearn_lib.pocket.derived import train_derived
from advunlearn_lib.pocket.train_clip import train_clip
from advunlearn_lib.pocket.train_judge import train_judge
from advunlearn_lib.pocket.train_unet import train_unet
from advunlearn_lib.pocket.train_vae import train_vae
from advunlearn_lib.store import commit

STAGES = {"vae": train_vae, "clip": train_clip, "judge": train_judge, "unet": train_unet, "derived": train_derived}


def train(folders: Folders, stages: tuple[str, ...] = tuple(STAGES)) -> None:
    """Run ``stages`` in order, each resumed where it stopped."""
    data = training_set(folders.sprites, folders.work)
    for stage in stages:
        STAGES[stage](data, folders)
    plots.save(plots.training_curves(folders.log), folders.log / "curves.png", f"commit {commit()}")
