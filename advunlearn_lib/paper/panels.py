"""Image panels: the paper's prompts in pocket words, and what each model draws for them, attacked or not."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from advunlearn_lib import plots
from advunlearn_lib.paper.item import Item
from advunlearn_lib.recipes import Row
from advunlearn_lib.study import Study


class Prompt(NamedTuple):
    """One column of a panel: the paper's prompt, ours, and whether UnlearnDiffAtk is at work on it."""

    paper: str
    ours: str
    attacked: bool = False


def nearest(study: Study, concept: str, text: str) -> int:
    """Index of the evaluation prompt that shares most words with ``text``: attacks are known for those only."""
    words = set(text.split())
    overlap = [len(words & set(prompt.text.split())) / len(words | set(prompt.text.split())) for prompt in study.prompts(concept)[0]]
    return overlap.index(max(overlap))


def shown(study: Study, concept: str, prompts: list[Prompt]) -> list[str]:
    """The prompts that a panel really draws."""
    return [study.prompts(concept)[0][nearest(study, concept, p.ours)].text if p.attacked else p.ours for p in prompts]


def mapping(item: Item, concept: str, prompts: list[Prompt]) -> pd.DataFrame:
    """The table a reader sees: the paper's prompts and what stands for them here."""
    kinds = ["attacked" if prompt.attacked else "plain" for prompt in prompts]
    here = shown(item.study, concept, prompts)
    return pd.DataFrame({"the paper's prompt": [prompt.paper for prompt in prompts], "here": here, "kind": kinds})


def panel(item: Item, rows: list[Row], prompts: list[Prompt]) -> Figure:
    """A row of pictures a model, a column a prompt; attacked prompts are shown with the tokens the attack found.

    A red frame: the judge sees the concept.
    """
    study, concept = item.study, rows[0].concept
    lines, seen, judge = {}, {}, study.judge(study.recipes.concept(concept))
    for row in rows:
        texts: list[str] = []
        seeds: list[int] = []
        for number, prompt in enumerate(prompts):
            if prompt.attacked:
                outcome = study.attack(row).prompts[nearest(study, concept, prompt.ours)]
                texts, seeds = [*texts, outcome.adversarial], [*seeds, outcome.seed]
            else:
                texts, seeds = [*texts, prompt.ours], [*seeds, number]
        label = "\n".join(filter(None, (row.method, row.component, row.variant)))
        lines[label] = study.pictures(row, texts, seeds)
        seen[label] = judge(lines[label]).tolist()
    heads = [f"{'attacked: ' if p.attacked else ''}{text}" for p, text in zip(prompts, shown(study, concept, prompts), strict=True)]
    name = study.recipes.concept(concept).name
    return plots.sample_grid(lines, heads, f"{item.name}: {name} (red frame: the judge sees it)\n{item.stamp}", seen)
