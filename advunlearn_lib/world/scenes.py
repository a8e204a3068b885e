"""Many scenes at once, as arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.world import atlas
from advunlearn_lib.world.language import draw_scene
from advunlearn_lib.world.render import STYLE_NAMES, Scene
from advunlearn_lib.world.things import THINGS

FRESH_SEED = 1  # the stream of scenes that no training saw; it saw stream 0
MANY = 4000  # scenes that are worth processes of their own


@dataclass(frozen=True)
class Dataset:
    """``images`` uint8 ``[n, 64, 64, 3]``; labels int64 ``[n]``.

    ``without``: objects, categories and painters of which a training sees no picture.
    """

    images: NDArray[np.uint8]
    scenes: list[Scene]
    without: tuple[str, ...] = ()

    def shown(self) -> NDArray[np.int64]:
        """The places of the pictures that a training may see."""
        hidden = set(self.without)
        return np.array([i for i, scene in enumerate(self.scenes) if not hidden & names_of(scene)])

    def labels(self, field: str) -> torch.Tensor:
        """The index of each picture's ``"thing"``, ``"place"`` or ``"style"``."""
        return torch.tensor([getattr(scene, field) for scene in self.scenes])

    def batch(self, index: NDArray[np.int64]) -> torch.Tensor:
        """Pictures as floats in [-1, 1], ``[b, 3, 64, 64]``."""
        return to_tensor(self.images[np.sort(index)])


def names_of(scene: Scene) -> set[str]:
    """What a scene shows: its object, its category if it has one, its painter."""
    thing = THINGS[scene.thing]
    return {thing.name, thing.category, STYLE_NAMES[scene.style]} - {""}


def to_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 ``[b, h, w, 3]`` -> float in [-1, 1], ``[b, 3, h, w]``, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def render_scenes(
    sprites_path: Path, indices: Sequence[int], seed: int, artist: int | None = None
) -> Dataset:
    """Scenes ``indices`` of the stream ``seed``, by one artist's sprites or by all.

    A thousand take a second in place, less than a process takes to start; more are drawn on all cores.
    """
    work = partial(draw_scene, atlas.load(sprites_path), seed, artist=artist)
    if len(indices) < MANY:
        drawn = [work(index) for index in indices]
    else:
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            results = pool.map(work, indices, chunksize=256)
            drawn = list(tqdm(results, total=len(indices), desc="draw"))
    return Dataset(np.stack([image for image, _ in drawn]), [scene for _, scene in drawn])
