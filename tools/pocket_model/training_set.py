"""The training pictures, drawn once and kept as memory-mapped arrays in the work folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from advunlearn_lib.base.files import atomic
from advunlearn_lib.world.language import VARIANTS, training_caption
from advunlearn_lib.world.render import Scene
from advunlearn_lib.world.scenes import Dataset, render_scenes

COUNT = 40_320  # 840 of each object
TRAIN_SEED = 0


def training_set(sprites_path: Path, work: Path, without: tuple[str, ...] = ()) -> Dataset:
    """The training pictures, from ``work`` when already drawn.

    Those of ``without`` are drawn too, so that all others have their places and captions; none is shown.
    """
    images, scenes = work / "images.npy", work / "scenes.json"
    if not scenes.exists():
        data = render_scenes(sprites_path, range(COUNT), TRAIN_SEED)
        with atomic(images) as temporary:
            np.save(temporary, data.images)
        with atomic(scenes) as temporary:
            temporary.write_text(json.dumps([asdict(scene) for scene in data.scenes]))
    drawn = [Scene(**row) for row in json.loads(scenes.read_text())]
    return Dataset(np.load(images, mmap_mode="r"), drawn, without)


def training_captions(data: Dataset, variants: int = VARIANTS) -> list[list[str]]:
    """``variants`` captions of each picture of :func:`training_set`, a list a variant."""
    return [
        [training_caption(scene, TRAIN_SEED, index, variant) for index, scene in enumerate(data.scenes)]
        for variant in range(variants)
    ]
