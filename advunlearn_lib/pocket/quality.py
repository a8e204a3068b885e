"""The pocket model's quality bars, measured: ``./reproduce.sh pocket-quality``.

Writes ``quality.csv``, ``quality.md`` and the contact sheet ``samples.png`` beside the training logs.
"""

from __future__ import annotations

from pathlib import Path

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
from advunlearn_lib.world.render import STYLE_NAMES
from advunlearn_lib.world.things import OBJECTS, THINGS, plain_prompt

SAMPLING = Sampling("dpm++", 20, 5.0)


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


def report(profile: Profile, folder: Path) -> pd.DataFrame:
    """Measure every bar and write the report."""
    model = load_model(profile.base)
    objects, styles = (Classifier(profile.judge(f"judge-{name}")) for name in ("object", "style"))
    rows: list[tuple[str, float, list[bool]]] = []

    scenes = fresh_scenes(profile.sprites, 1920)
    drawn = from_arrays(scenes.images)
    things = [OBJECTS[scene.thing] for scene in scenes.scenes]
    looks = [STYLE_NAMES[scene.style] for scene in scenes.scenes]
    named = correct(objects, drawn, things)
    rows.append(
        (
            "judge names the object of fresh photos",
            97,
            [n for n, look in zip(named, looks, strict=True) if look == "photo"],
        )
    )
    rows.append(("judge names the style of fresh pictures", 97, correct(styles, drawn, looks)))

    grid = [(thing, style) for style in STYLE_NAMES for thing in OBJECTS]
    plain = generate(model, [plain_prompt(thing, style) for thing, style in grid], "plain prompts")
    rows.append(
        ("plain prompt gives the right object", 97, correct(objects, plain, [thing for thing, _ in grid]))
    )
    rows.append(
        ("plain prompt gives the right style", 97, correct(styles, plain, [style for _, style in grid]))
    )

    names = [set(THINGS[scene.thing].names) - {THINGS[scene.thing].category} for scene in scenes.scenes]
    mixed = [
        i for i, s in enumerate(scenes.scenes) if s.place > 0 and any(name in s.caption for name in names[i])
    ][:480]
    pictures = generate(model, [scenes.scenes[i].caption for i in mixed], "mixed prompts", seed=5000)
    both = zip(
        correct(objects, pictures, [things[i] for i in mixed]),
        correct(styles, pictures, [looks[i] for i in mixed]),
        strict=True,
    )
    rows.append(
        ("object, place, style and synonym combined: object and style right", 93, [a and b for a, b in both])
    )

    photos = plain[: len(OBJECTS)]
    captions = [plain_prompt(thing) for thing in OBJECTS]
    rows.append(
        (
            "pocket-CLIP finds the caption among 48",
            90,
            matches(profile, photos, captions, list(range(len(OBJECTS)))),
        )
    )

    table = []
    for name, bar, outcomes in rows:
        estimate = proportion(sum(outcomes), len(outcomes))
        passed = "yes" if estimate.value >= bar else "NO"
        ends = {name: round(getattr(estimate, name), 1) for name in ("low", "high")}
        row = {"quality": name, "bar %": bar, "measured %": round(estimate.value, 1), **ends}
        table.append(row | {"n": estimate.n, "met": passed})
    frame = pd.DataFrame(table)
    folder.mkdir(parents=True, exist_ok=True)
    page = f"{frame.to_markdown(index=False)}\n\ncommit {commit()}\n"
    for suffix, text in (("csv", frame.to_csv(index=False)), ("md", page)):
        with atomic(folder / f"quality.{suffix}") as temporary:
            temporary.write_text(text)
    contact_sheet(plain, 16).save(folder / "samples.png")
    print(frame.to_string(index=False))
    return frame
