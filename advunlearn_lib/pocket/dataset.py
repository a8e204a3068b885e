"""The training pictures, drawn once and kept as memory-mapped arrays in the work folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from advunlearn_lib.files import atomic
from advunlearn_lib.pocket import atlas
from advunlearn_lib.pocket.render import Scene, sample
from advunlearn_lib.progress import tqdm

PICTURES = 40_320  # 840 of each object
TRAIN_SEED, FRESH_SEED = 0, 1


@dataclass(frozen=True)
class Dataset:
    """``images`` uint8 ``[n, 64, 64, 3]``; labels int64 ``[n]``; ``captions`` of length n."""

    images: NDArray[np.uint8]
    scenes: list[Scene]

    def labels(self, field: str) -> torch.Tensor:
        """The index of each picture's ``"thing"``, ``"place"`` or ``"style"``."""
        return torch.tensor([getattr(scene, field) for scene in self.scenes])

    def batch(self, index: NDArray[np.int64]) -> torch.Tensor:
        """Pictures as floats in [-1, 1], ``[b, 3, 64, 64]``."""
        return to_tensor(self.images[np.sort(index)])


def to_tensor(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 ``[b, h, w, 3]`` -> float in [-1, 1], ``[b, 3, h, w]``, channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def draw_many(sprites_path: Path, indices: Sequence[int], seed: int, artist: int | None = None) -> Dataset:
    """Scenes ``indices`` of the stream ``seed``, drawn on all cores; by one artist's sprites, or by all."""
    sprites = atlas.load(sprites_path)
    sprites = sprites if artist is None else sprites[:, artist : artist + 1]
    work = partial(sample, sprites, seed)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        drawn = list(tqdm(pool.map(work, indices, chunksize=256), total=len(indices), desc="draw", disable=len(indices) < 2000))
    return Dataset(np.stack([image for image, _ in drawn]), [scene for _, scene in drawn])


def training_set(sprites_path: Path, work: Path) -> Dataset:
    """The training pictures, from ``work`` when already drawn."""
    images, scenes = work / "images.npy", work / "scenes.json"
    if not scenes.exists():
        data = draw_many(sprites_path, range(PICTURES), TRAIN_SEED)
        with atomic(images) as temporary:
            np.save(temporary, data.images)
        with atomic(scenes) as temporary:
            temporary.write_text(json.dumps([asdict(scene) for scene in data.scenes]))
    return Dataset(np.load(images, mmap_mode="r"), [Scene(**row) for row in json.loads(scenes.read_text())])
