"""The pocket model's quality bars, measured: ``./reproduce.sh pocket-quality``.

Writes ``quality.csv``, ``quality.md`` and the contact sheet ``samples.png`` beside the training logs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.images import from_arrays, to_arrays
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.data.emoji import fresh_scenes
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.metrics.estimate import proportion
from advunlearn_lib.metrics.judges import Classifier
from advunlearn_lib.profiles.schema import Profile
from advunlearn_lib.world.language import words
from advunlearn_lib.world.render import STYLE_NAMES, Scene
from advunlearn_lib.world.scenes import Dataset
from advunlearn_lib.world.things import OBJECTS, THINGS, plain_prompt

SAMPLING = Sampling("dpm++", 20, 5.0)
GRID = [(thing, style) for style in STYLE_NAMES for thing in OBJECTS]


def correct(classifier: Classifier, images: Tensor, truth: list[str]) -> list[bool]:
    """Is the top label the true one, for each picture?"""
    guesses = classifier.probabilities(images).argmax(-1)
    return [classifier.labels[guess] == label for guess, label in zip(guesses.tolist(), truth, strict=True)]


def generate(model: LatentDiffusion, prompts: list[str], desc: str, seed: int = 0) -> Tensor:
    """Pictures of ``prompts`` with a bar."""
    seeds = range(seed, seed + len(prompts))
    with tqdm(total=len(prompts), desc=desc) as bar:
        return model.generate(prompts, seeds, SAMPLING, 48, lambda done: bar.update(done - bar.n))


@torch.no_grad()
def matches(profile: Profile, images: Tensor, captions: list[str], truth: list[int]) -> list[bool]:
    """Does pocket-CLIP pick each picture's caption among all ``captions``?"""
    model, processor = load_clip(profile.clip)
    inputs = processor(text=captions, images=to_arrays(images), return_tensors="pt", padding=True)
    texts = model.get_text_features(inputs.input_ids, inputs.attention_mask)
    pictures = model.get_image_features(inputs.pixel_values)
    similar = torch.cosine_similarity(pictures[:, None], texts[None], dim=-1)
    return (similar.argmax(-1) == torch.tensor(truth)).tolist()


def contact_sheet(images: Tensor, columns: int) -> Image.Image:
    """Pictures in rows of ``columns``."""
    pixels = to_arrays(images)
    rows = [np.concatenate(pixels[i : i + columns], 1) for i in range(0, len(pixels), columns)]
    return Image.fromarray(np.concatenate(rows, 0))


class Bar(NamedTuple):
    """A quality, what it should be at least (%), and each sample's outcome."""

    quality: str
    bar: float
    outcomes: list[bool]

    def row(self) -> dict[str, Any]:
        """A line of the report."""
        estimate = proportion(sum(self.outcomes), len(self.outcomes))
        value, low, high = (round(getattr(estimate, name), 1) for name in ("value", "low", "high"))
        met = "yes" if estimate.value >= self.bar else "NO"
        head = {"quality": self.quality, "bar %": self.bar, "measured %": value}
        return head | {"low": low, "high": high, "n": estimate.n, "met": met}


def judge_bars(objects: Classifier, styles: Classifier, data: Dataset) -> list[Bar]:
    """Do the judges read pictures as they were drawn?"""
    images, scenes = from_arrays(data.images), data.scenes
    named = correct(objects, images, [OBJECTS[scene.thing] for scene in scenes])
    photos = [n for n, scene in zip(named, scenes, strict=True) if STYLE_NAMES[scene.style] == "photo"]
    looks = correct(styles, images, [STYLE_NAMES[scene.style] for scene in scenes])
    return [
        Bar("judge names the object of fresh photos", 97, photos),
        Bar("judge names the style of fresh pictures", 97, looks),
    ]


def plain_bars(objects: Classifier, styles: Classifier, plain: Tensor) -> list[Bar]:
    """Does the model draw what plain prompts name? ``plain``: pictures in the order of GRID."""
    return [
        Bar("plain prompt gives the right object", 97, correct(objects, plain, [thing for thing, _ in GRID])),
        Bar("plain prompt gives the right style", 97, correct(styles, plain, [style for _, style in GRID])),
    ]


def mixed_bar(model: LatentDiffusion, objects: Classifier, styles: Classifier, scenes: list[Scene]) -> Bar:
    """Does it draw object, place and style together, by other names too?"""
    mixed = [scene for scene in scenes if scene.place > 0 and by_a_name_of_its_own(scene)][:480]
    pictures = generate(model, [scene.caption for scene in mixed], "mixed prompts", seed=5000)
    things = correct(objects, pictures, [OBJECTS[scene.thing] for scene in mixed])
    looks = correct(styles, pictures, [STYLE_NAMES[scene.style] for scene in mixed])
    both = [a and b for a, b in zip(things, looks, strict=True)]
    return Bar("object, place, style and synonym combined: object and style right", 93, both)


def by_a_name_of_its_own(scene: Scene) -> bool:
    """Does the caption name the thing, and not by its category alone?"""
    names = (THINGS[scene.thing].name, *words()[scene.thing].names)
    return any(f" {name} " in f" {scene.caption} " for name in names)


def report(profile: Profile, folder: Path) -> pd.DataFrame:
    """Measure every bar and write the report."""
    model = load_model(profile.base)
    objects, styles = (Classifier(profile.judge(f"judge-{name}")) for name in ("object", "style"))
    data = fresh_scenes(profile.sprites, 1920)
    plain = generate(model, [plain_prompt(thing, style) for thing, style in GRID], "plain prompts")
    captions, truth = [plain_prompt(thing) for thing in OBJECTS], list(range(len(OBJECTS)))
    found = matches(profile, plain[: len(OBJECTS)], captions, truth)
    bars = [
        *judge_bars(objects, styles, data),
        *plain_bars(objects, styles, plain),
        mixed_bar(model, objects, styles, data.scenes),
        Bar("pocket-CLIP finds the caption among 48", 90, found),
    ]
    frame = pd.DataFrame([bar.row() for bar in bars])
    page = f"{frame.to_markdown(index=False)}\n\ncommit {commit()}\n"
    for suffix, text in (("csv", frame.to_csv(index=False)), ("md", page)):
        with atomic(folder / f"quality.{suffix}") as temporary:
            temporary.write_text(text)
    sheet = contact_sheet(plain, 16).quantize(64, dither=Image.Dither.NONE)
    sheet.save(folder / "samples.png", optimize=True)
    print(frame.to_string(index=False))
    return frame
