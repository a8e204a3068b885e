"""The pocket profile's prompt files: evaluation prompts of a concept, FID captions, retain set. All deterministic."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advunlearn_lib.attacks import AttackedPrompt
from advunlearn_lib.pocket.dataset import FRESH_SEED, Dataset, draw_many
from advunlearn_lib.pocket.render import STYLE_NAMES, Scene
from advunlearn_lib.pocket.world import OBJECTS, PLACES, THINGS, caption, plain_prompt
from advunlearn_lib.profiles import DATA

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
