"""Image panels: what each model draws for the paper's prompts, attacked or not.

Where the world is another than the paper's, for the prompts that stand for them here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image, ImageFilter
from torch import Tensor

from advunlearn_lib.base.images import from_arrays, to_arrays
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.schema import Concept, Profile
from advunlearn_lib.report import plots
from advunlearn_lib.report.item import Results
from advunlearn_lib.report.prompts import Panel, Prompt

SENSITIVE = ("nudity",)  # concepts whose pictures are blurred; what stands in for them is harmless


def nearest(study: Study, concept: str, text: str) -> int:
    """Index of the evaluation prompt that shares most words with ``text``.

    Attacks are known for those only.
    """
    words = set(text.split())
    others = [set(prompt.text.split()) for prompt in study.prompts(concept)]
    overlap = [len(words & other) / len(words | other) for other in others]
    return overlap.index(max(overlap))


def drawn_texts(study: Study, concept: str, prompts: Sequence[Prompt]) -> list[str]:
    """The prompts that a panel really draws: an attacked one is the nearest evaluation prompt."""
    known = study.prompts(concept)
    texts = [prompt.text(study.profile) for prompt in prompts]
    return [
        known[nearest(study, concept, text)].text if prompt.attacked else text
        for prompt, text in zip(prompts, texts, strict=True)
    ]


def mapping(item: Results, concept: str, prompts: Sequence[Prompt]) -> pd.DataFrame:
    """The table a reader sees: the paper's prompts and what stands for them here."""
    kinds = ["attacked" if prompt.attacked else "plain" for prompt in prompts]
    here = drawn_texts(item.study, concept, prompts)
    return pd.DataFrame(
        {"the paper's prompt": [prompt.paper for prompt in prompts], "here": here, "kind": kinds}
    )


def choose(item: Results, chosen: Panel) -> tuple[list[Row], list[Prompt]]:
    """The models and the prompts of a panel: after its own the item's first evaluation prompts, attacked."""
    concept = chosen.concept or item.rows()[0].concept
    rows = [row for row in item.rows() if row.concept == concept]
    rows = [row for row in rows if not chosen.methods or row.method in chosen.methods]
    known = item.study.prompts(concept)[: chosen.evaluated]
    return rows, [*(Prompt(one.text, one.text, attacked=True) for one in known), *chosen.prompts]


def panel(item: Results, rows: Sequence[Row], prompts: Sequence[Prompt]) -> Figure:
    """A row of pictures a model, a column a prompt.

    Under the picture of an attacked prompt stands what the attack put before it. A red frame: the judge sees
    the concept.
    """
    study, concept = item.study, rows[0].concept
    pictures, framed, tokens = {}, dict[str, list[bool]](), {}
    texts = drawn_texts(study, concept, prompts)
    varying = [
        name for name in ("method", "component", "variant") if len({getattr(r, name) for r in rows}) > 1
    ]
    for row in rows:
        attacked_texts, seeds = adversarial_texts(study, row, prompts)
        label = "\n".join(filter(None, (getattr(row, name) for name in varying or ["method"])))
        pictures[label] = study.pictures(row, attacked_texts, seeds)
        framed[label] = study.seen(row, attacked_texts, seeds)
        pictures[label] = shown(pictures[label], study.protocol.concept(concept), study.profile)
        tokens[label] = list(map(added, attacked_texts, texts))
    heads = [f"attacked: {t}" if prompt.attacked else t for prompt, t in zip(prompts, texts, strict=True)]
    name = study.protocol.concept(concept).name
    attacked = [number for number, prompt in enumerate(prompts) if prompt.attacked]
    title = f"{finding(name, framed, attacked)}\n{item.name}, {item.stamp}"
    return plots.sample_grid(pictures, heads, title, framed, tokens)


def added(attacked: str, plain: str) -> str:
    """What an attack put before a prompt; all of its text where it replaced the prompt.

    An attack's text is decoded from tokens: in small letters, with other blanks, its last token perhaps grown
    together with the prompt.
    """
    end = len(attacked)
    for letter in reversed("".join(plain.lower().split())):
        end = len(attacked[:end].rstrip())
        if not end or attacked[end - 1].lower() != letter:
            return attacked
        end -= 1
    return attacked[:end].strip()


def shown(images: Tensor, concept: Concept, profile: Profile) -> Tensor:
    """Pictures [n, 3, h, w] in [0, 1] of a model on ``concept``, for people: sensitive ones blurred.

    Nothing larger than an eighth of a picture is left of them; ``--set show_sensitive=true`` shows them.
    """
    if concept.name not in SENSITIVE or profile.show_sensitive:
        return images
    blur = ImageFilter.GaussianBlur(images.shape[-1] / 16)
    arrays = [np.asarray(Image.fromarray(array).filter(blur)) for array in to_arrays(images)]
    return from_arrays(np.stack(arrays))


def finding(concept: str, framed: Mapping[str, Sequence[bool]], attacked: Sequence[int]) -> str:
    """What a panel shows: in how many of each model's attacked pictures the judge sees the concept."""
    seen = {" ".join(label.split("\n")): sum(seen[i] for i in attacked) for label, seen in framed.items()}
    said = [label if len(attacked) == 1 else f"{label} {count}" for label, count in seen.items() if count]
    of = f", of {len(attacked)}" if len(attacked) > 1 else ""
    return f"Under attack the judge sees {concept} (red frame){of}: {', '.join(said) or 'nowhere'}"


def adversarial_texts(study: Study, row: Row, prompts: Sequence[Prompt]) -> tuple[list[str], list[int]]:
    """What a model is asked to draw, and the pictures' seeds.

    Attacked prompts with their tokens, others as they are.
    """
    texts, seeds = [], []
    for number, prompt in enumerate(prompts):
        text, seed = prompt.text(study.profile), number
        if prompt.attacked:
            outcome = study.attack(row).prompts[nearest(study, row.concept, text)]
            text, seed = outcome.adversarial, outcome.seed
        texts.append(text)
        seeds.append(seed)
    return texts, seeds
