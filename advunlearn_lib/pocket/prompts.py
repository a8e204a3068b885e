"""The pocket profile's prompts: evaluation prompts of a concept, FID captions and pictures, retain set. All deterministic."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advunlearn_lib.attacks import AttackedPrompt
from advunlearn_lib.pocket.dataset import FRESH_SEED, Dataset, draw_many
from advunlearn_lib.pocket.render import STYLE_NAMES, Scene
from advunlearn_lib.pocket.world import OBJECTS, PLACES, THINGS, caption, plain_prompt
from advunlearn_lib.profiles import DATA, Concept, Profile

EVALUATION_SEED = 40_000
RETAIN = DATA / "retain"


def evaluation_candidates(kind: str, labels: Sequence[str], count: int) -> list[AttackedPrompt]:
    """At most ``count`` distinct captions that show one of ``labels``, each with its picture's seed.

    Objects are shown in photos, by all their names, in all places; a style by all objects that are no concept's.
    """
    found: dict[str, int] = {}
    others = [i for i, thing in enumerate(THINGS) if thing.source != "concept"]
    index = 0
    while len(found) < count and index < 50 * count:
        rng = np.random.default_rng((EVALUATION_SEED, index))
        label = labels[index % len(labels)]
        thing, style = (others[index % len(others)], label) if kind == "style" else (OBJECTS.index(label), "photo")
        found.setdefault(caption(thing, str(rng.choice(list(PLACES))), style, rng), EVALUATION_SEED + index)
        index += 1
    return [AttackedPrompt(text, seed) for text, seed in found.items()]


def fresh_scenes(sprites: Path, count: int, avoid: Sequence[str] = ()) -> Dataset:
    """``count`` pictures and captions that no training saw, of objects and styles not in ``avoid``."""
    stream = (index for index in itertools.count() if OBJECTS[index % len(OBJECTS)] not in avoid)
    images: list[NDArray[np.uint8]] = []
    scenes: list[Scene] = []
    while len(scenes) < count:
        drawn = draw_many(sprites, list(itertools.islice(stream, count)), FRESH_SEED)
        kept = [i for i, scene in enumerate(drawn.scenes) if STYLE_NAMES[scene.style] not in avoid]
        images, scenes = [*images, *drawn.images[kept]], [*scenes, *(drawn.scenes[i] for i in kept)]
    return Dataset(np.stack(images[:count]), scenes[:count])


def retain_set(avoid: Sequence[str], source: str = "coco", filtered: bool = True) -> list[str]:
    """``"a photo of a X"`` for the words of ``data/retain/<source>.txt``; the filter drops marked words and those of ``avoid``."""
    rows = [line.split("\t") for line in (RETAIN / f"{source}.txt").read_text().splitlines() if not line.startswith("#")]
    return [plain_prompt(word) for word, *marks in rows if not filtered or (not marks and word not in avoid)]


class EmojiWorld:
    """The pocket profile's source of prompts, captions and reference pictures; the version of the code says all."""

    def __init__(self, profile: Profile) -> None:
        self.sprites = profile.sprites

    def evaluation_recipe(self, concept: Concept) -> dict[str, str]:
        """Nothing more than the concept itself."""
        return {}

    def evaluation(self, concept: Concept, count: int) -> list[AttackedPrompt]:
        """Three times ``count`` candidates: the model fails on some."""
        return evaluation_candidates(concept.kind, concept.labels, 3 * count)

    def captions_recipe(self) -> dict[str, str]:
        """Nothing more than their number and what they avoid."""
        return {}

    def captions(self, count: int, avoid: Sequence[str]) -> tuple[list[str], list[int]]:
        """Captions of fresh scenes; the seeds are 0, 1, ..."""
        return [scene.caption for scene in fresh_scenes(self.sprites, count, avoid).scenes], list(range(count))

    def references(self, count: int, avoid: Sequence[str]) -> list[Tensor]:
        """The same scenes' pictures."""
        images = torch.from_numpy(fresh_scenes(self.sprites, count, avoid).images)
        return list(images.permute(0, 3, 1, 2).float() / 255)

    def retain_set(self, avoid: Sequence[str], source: str, filtered: bool) -> list[str]:
        """A list of ``data/retain``."""
        return retain_set(avoid, source, filtered)
