"""The pocket profile's prompts, captions and pictures.

Evaluation prompts of a concept, FID captions and pictures, the retain set: all are deterministic.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from advunlearn_lib.base.images import from_arrays
from advunlearn_lib.base.paths import DATA
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.profiles.schema import Profile, RetainList
from advunlearn_lib.world.language import evaluation_caption, imagine_scene
from advunlearn_lib.world.render import STYLE_NAMES, Scene
from advunlearn_lib.world.scenes import FRESH_SEED, Dataset, render_scenes
from advunlearn_lib.world.things import OBJECTS, PLACES, THINGS, plain_prompt

EVALUATION_SEED = 40_000
RETAIN = DATA / "retain"
WORLD = {"world": "second"}


def evaluation_candidates(kind: str, labels: Sequence[str], count: int) -> list[EvaluationPrompt]:
    """At most ``count`` distinct plain prompts that show one of ``labels``, each with its picture's seed.

    Objects are shown in photos, in all places; a style by all objects that are no concept's. Objects and
    styles go by their literal names, as in the paper's prompt files; a category by all its names.
    """
    seeds: dict[str, int] = {}
    others = [i for i, thing in enumerate(THINGS) if thing.source != "concept"]
    index = 0
    while len(seeds) < count and index < 50 * count:
        rng = np.random.default_rng((EVALUATION_SEED, index))
        label = labels[index % len(labels)]
        if kind == "style":
            thing, style = others[index % len(others)], label
        else:
            thing, style = OBJECTS.index(label), "photo"
        text = evaluation_caption(thing, str(rng.choice(list(PLACES))), style, kind != "broad", rng)
        seeds.setdefault(text, EVALUATION_SEED + index)
        index += 1
    return [EvaluationPrompt(text, seed) for text, seed in seeds.items()]


def fresh_scenes(sprites: Path, count: int, avoid: Sequence[str] = ()) -> Dataset:
    """``count`` pictures and captions that no training saw, of objects and styles not in ``avoid``."""
    return render_scenes(sprites, list(imagined(count, avoid)), FRESH_SEED)


def imagined(count: int, avoid: Sequence[str]) -> dict[int, Scene]:
    """The same scenes by index, without their pictures."""
    stream = (index for index in itertools.count() if OBJECTS[index % len(OBJECTS)] not in avoid)
    scenes = ((index, imagine_scene(FRESH_SEED, index)[0]) for index in stream)
    return dict(itertools.islice((one for one in scenes if STYLE_NAMES[one[1].style] not in avoid), count))


def retain_set(avoid: Sequence[str], wanted: RetainList = RetainList()) -> list[str]:  # noqa: B008 (a tuple)
    """``"a photo of a X"`` for the words of ``data/retain/<source>.txt``.

    The filter drops marked words and those of ``avoid``.
    """
    lines = (RETAIN / f"{wanted.source}.txt").read_text().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [
        plain_prompt(word) for word, *marks in rows if not wanted.filtered or not (marks or word in avoid)
    ]


class EmojiWorld:
    """The pocket profile's source of prompts, captions and reference pictures.

    The version of the code says all that shapes them.
    """

    def __init__(self, profile: Profile) -> None:
        self.sprites = profile.sprites

    def evaluation_recipe(self, file: str) -> dict[str, str]:
        """The world, whose first one is no more: its results are never taken for this one's."""
        return WORLD

    def evaluation(self, kind: str, labels: Sequence[str], file: str, count: int) -> list[EvaluationPrompt]:
        """Three times ``count`` candidates: the model fails on some."""
        return evaluation_candidates(kind, labels, 3 * count)

    def captions_recipe(self) -> dict[str, str]:
        """The same."""
        return WORLD

    def captions(self, count: int, avoid: Sequence[str]) -> tuple[list[str], list[int]]:
        """Captions of fresh scenes; the seeds are 0, 1, ..."""
        return [scene.caption for scene in imagined(count, avoid).values()], list(range(count))

    def references(self, count: int, avoid: Sequence[str]) -> list[Tensor]:
        """The same scenes' pictures."""
        return list(from_arrays(fresh_scenes(self.sprites, count, avoid).images))

    def retain_set(self, avoid: Sequence[str], wanted: RetainList) -> list[str]:
        """A list of ``data/retain``."""
        return retain_set(avoid, wanted)
