"""Which cells have to be computed, each once, and in what order."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from advunlearn_lib.base.keys import Recipe, key_of
from advunlearn_lib.base.store import Store
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.cells import MODEL, Cell
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.profiles.schema import Profile

TYPICAL = {"erase": 60.0, "attack": 30.0, "quality": 60.0}  # seconds of a cell, until the store knows better
TYPICAL_QUICK = {"erase": 5.0, "attack": 3.0, "quality": 5.0}
PICTURES = ("fid", "clip")


class Job(NamedTuple):
    """A cell to be computed under a profile."""

    profile: Profile
    cell: Cell


def required_cells(jobs: Sequence[Job]) -> dict[tuple[str, str], tuple[Job, Recipe]]:
    """Everything ``jobs`` rest on, each cell once, by its kind and key; the models they need included."""
    required: dict[tuple[str, str], tuple[Job, Recipe]] = {}
    for profile, cell in jobs:
        recipes = Recipes(profile)
        trained = recipes.trained(cell.row)
        models = [Cell(trained, "", MODEL)] if trained else []
        for wanted in [*models, cell]:
            kind, recipe = recipes.cell(wanted)
            if kind:
                required.setdefault((kind, key_of(recipe)), (Job(profile, wanted), recipe))
    return required


def plan(jobs: Sequence[Job], store: Store) -> list[Job]:
    """What is still to be computed: models first, slow ones at their head; then pictures, the longest."""
    required = required_cells(jobs).items()
    left = [one for (kind, _), one in required if store.read(kind, one[1]) is None]

    def rank(one: tuple[Job, Recipe]) -> int:
        job, recipe = one
        if job.cell.metric == MODEL:
            return 0 if METHODS[recipe["method"]].SLOW else 1
        return 2 if job.cell.metric in PICTURES else 3

    return [job for job, _ in sorted(left, key=rank)]


def sort_of(kind: str, recipe: Recipe) -> tuple[str, str]:
    """Cells of one sort take about equally long: a method's models, an attack, so many pictures."""
    return kind, str(recipe.get("method") or recipe.get("attack") or recipe.get("images", ""))


def known_seconds(store: Store) -> dict[tuple[str, str], float]:
    """The median of what finished cells took to compute, by :func:`sort_of`."""
    took: dict[tuple[str, str], list[float]] = {}
    for kind, record in store.records():
        took.setdefault(sort_of(kind, record["recipe"]), []).append(record["seconds"])
    return {sort: statistics.median(seconds) for sort, seconds in took.items()}


def describe_plan(jobs: Sequence[Job], store: Store) -> str:
    """``erase: 12 done, 60 to do`` and so on, with an
    estimate from what cells of the same sort took so far.
    """
    required, known = required_cells(jobs), known_seconds(store)
    left = {key: recipe for key, (_, recipe) in required.items() if store.read(key[0], recipe) is None}
    total, todo = (Counter(kind for kind, _ in keys) for keys in (required, left))
    typical, seconds = TYPICAL_QUICK if jobs[0].profile.quick else TYPICAL, dict.fromkeys(total, 0.0)
    for (kind, _), recipe in left.items():
        seconds[kind] += known.get(sort_of(kind, recipe), typical[kind])
    lines = []
    for kind, count in total.items():
        done, minutes = count - todo[kind], seconds[kind] / 60
        lines.append(f"  {kind:8} {done:4} done, {todo[kind]:4} to do, {minutes:.0f} minutes of a core")
    minutes = sum(seconds.values()) / 60 / (os.cpu_count() or 1)
    return "\n".join(["plan", *lines, f"  about {minutes:.0f} minutes and the notebooks"])
