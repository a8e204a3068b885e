"""The pocket profile's prompt files: evaluation prompts of a concept, FID captions, retain set. All deterministic."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advunlearn_lib.attacks import AttackedPrompt
from advunlearn_lib.pocket.dataset import FRESH_SEED, Dataset, draw_many
from advunlearn_lib.pocket.world import OBJECTS, PLACES, THINGS, caption, plain_prompt

EVALUATION_SEED = 40_000


def evaluation_candidates(labels: Sequence[str], count: int) -> list[AttackedPrompt]:
    """``count`` distinct captions of the objects ``labels`` (all their names, all places), each with its picture's seed."""
    found: dict[str, int] = {}
    index = 0
    while len(found) < count and index < 50 * count:
        rng = np.random.default_rng((EVALUATION_SEED, index))
        thing = OBJECTS.index(labels[index % len(labels)])
        found.setdefault(caption(thing, str(rng.choice(list(PLACES))), "photo", rng), EVALUATION_SEED + index)
        index += 1
    return [AttackedPrompt(text, seed) for text, seed in found.items()]


def fresh_scenes(sprites: Path, count: int, avoid: Sequence[str] = ()) -> Dataset:
    """``count`` pictures and captions that no training saw, of objects not in ``avoid``."""
    stream = (index for index in itertools.count() if OBJECTS[index % len(OBJECTS)] not in avoid)
    return draw_many(sprites, list(itertools.islice(stream, count)), FRESH_SEED)


def retain_set(avoid: Sequence[str], source: str = "coco") -> list[str]:
    """``"a photo of a X"`` for the objects of ``source``, without those to be erased (the paper's COCO object list)."""
    return [plain_prompt(thing.name) for thing in THINGS if thing.source == source and thing.name not in avoid]
