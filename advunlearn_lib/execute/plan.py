"""Which cells have to be computed, each once, and in what order."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from advunlearn_lib.base.keys import Recipe
from advunlearn_lib.base.store import Store
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.attack_spec import AttackSpec
from advunlearn_lib.experiment.erasure_spec import ModelSpec
from advunlearn_lib.experiment.picture_specs import QualitySpec
from advunlearn_lib.profiles.added import load_added
from advunlearn_lib.profiles.schema import Profile

TYPICAL = {"erase": 60.0, "attack": 30.0, "quality": 60.0}  # seconds of a cell, until the store knows better
TYPICAL_QUICK = {"erase": 5.0, "attack": 3.0, "quality": 5.0}


class Job(NamedTuple):
    """What is to be computed, and under which profile: where networks, files and devices are."""

    profile: Profile
    spec: ModelSpec | AttackSpec | QualitySpec

    def __reduce__(self) -> tuple[Any, ...]:
        return received, (Added(self.profile.added), self.profile, self.spec)

    def name(self) -> str:
        """What a line of progress calls it."""
        match self.spec:
            case AttackSpec(attack=attack, model=ModelSpec() as model):
                return f"{attack} on {model.name()}"
            case QualitySpec(model=ModelSpec() as model):
                return f"pictures of {model.name()}"
            case spec:
                return f"model: {spec.name()}" if isinstance(spec, ModelSpec) else spec.KIND

    def model(self) -> ModelSpec | None:
        """The model that has to be trained first, or is to be trained; None where none is."""
        spec = self.spec if isinstance(self.spec, ModelSpec) else self.spec.model
        return spec.trained() if spec is not None else None


class Added(tuple[str, ...]):
    """The user's own files, loaded first where a job arrives: its specification may be of them."""

    def __reduce__(self) -> tuple[Any, ...]:
        return load_all, (tuple(self),)


def load_all(files: tuple[str, ...]) -> None:
    """Register what ``files`` define, in a process that a job was sent to."""
    for file in files:
        load_added(file)


def received(_: None, profile: Profile, spec: ModelSpec | AttackSpec | QualitySpec) -> Job:
    """A job that another process sent."""
    return Job(profile, spec)


def required_jobs(jobs: Sequence[Job]) -> dict[tuple[str, str], Job]:
    """Everything ``jobs`` rest on, each once, by its kind and key; the models they need included."""
    required: dict[tuple[str, str], Job] = {}
    for job in jobs:
        if (model := job.model()) is not None:
            required.setdefault((model.KIND, model.key), Job(job.profile, model))
        if not isinstance(job.spec, ModelSpec):
            required.setdefault((job.spec.KIND, job.spec.key), job)
    return required


def share_of(jobs: Sequence[Job], part: int, parts: int) -> list[Job]:
    """The ``part``-th (from 1) of ``parts`` shares: a model, all its attacks and pictures are in one of them.

    The shares do not hang on what is done already, so that several runs of them together do everything once.
    """

    def rests_on(job: Job) -> str:
        return (job.model() or job.spec).key

    keys = sorted({rests_on(job) for job in jobs})
    mine = set(keys[part - 1 :: parts])
    return [job for job in jobs if rests_on(job) in mine]


def left_of(jobs: Sequence[Job], store: Store) -> list[Job]:
    """What of it the store does not have."""
    return [job for job in required_jobs(jobs).values() if store.read(job.spec.KIND, job.spec.recipe) is None]


def plan(jobs: Sequence[Job], store: Store) -> list[Job]:
    """What is still to be computed: models first, slow ones at their head; then pictures, the longest."""

    def rank(job: Job) -> int:
        match job.spec:
            case ModelSpec(erasure=erasure):
                return 0 if erasure is not None and METHODS[erasure.method].SLOW else 1
            case QualitySpec():
                return 2
            case AttackSpec():
                return 3

    return sorted(left_of(jobs, store), key=rank)


def sort_of(kind: str, recipe: Recipe) -> tuple[str, str]:
    """Cells of one sort take about equally long: a method's models, an attack, so many pictures."""
    erasure = recipe.get("erasure") or {}
    return kind, str(erasure.get("method") or recipe.get("attack") or recipe.get("images", ""))


def known_seconds(store: Store) -> dict[tuple[str, str], float]:
    """The median of what finished cells took to compute, by :func:`sort_of`."""
    took: dict[tuple[str, str], list[float]] = {}
    for kind, record in store.records():
        took.setdefault(sort_of(kind, record["recipe"]), []).append(record["seconds"])
    return {sort: statistics.median(seconds) for sort, seconds in took.items()}


def describe_plan(jobs: Sequence[Job], store: Store) -> str:
    """What is done and what is left: ``erase: 12 done, 60 to do`` and so on.

    With an estimate from what cells of the same sort took so far.
    """
    required, known, left = required_jobs(jobs).values(), known_seconds(store), left_of(jobs, store)
    total, todo = (Counter(job.spec.KIND for job in some) for some in (required, left))
    typical, seconds = TYPICAL_QUICK if jobs[0].profile.quick else TYPICAL, dict.fromkeys(total, 0.0)
    for spec in (job.spec for job in left):
        seconds[spec.KIND] += known.get(sort_of(spec.KIND, spec.recipe), typical[spec.KIND])
    lines = []
    for kind, count in total.items():
        done, minutes = count - todo[kind], seconds[kind] / 60
        lines.append(f"  {kind:8} {done:4} done, {todo[kind]:4} to do, {minutes:.0f} minutes of a core")
    minutes = sum(seconds.values()) / 60 / (os.cpu_count() or 1)
    return "\n".join(["plan", *lines, f"  about {minutes:.0f} minutes and the notebooks"])
