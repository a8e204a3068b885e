"""How seconds grow with the work and with the machine: ``./reproduce.sh bench --growth``.

Six small series on the pocket model: prompts under attack, K of AdvUnlearn's inner attack, concepts erased
one after the other (which share the retain prompts' sampling paths), seeds, threads, and workers of one
thread. All are run three times, one after the other; the picture shows the mean, the lowest and the highest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.data.emoji import evaluation_candidates, retain_set
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.pictures import target_latents
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment import resolve
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report import plots
from benchmarks.bench import machine
from benchmarks.jobs import BATCH, CONCEPT, SAMPLING

REPEATS = 3
ITERATIONS = 5
CONCEPTS = ("church", "parachute", "tench", "guitar")
COLUMNS = ("series", "value", "of", "repeat", "seconds")
Series = Iterator[tuple[int, Callable[[], object]]]
"""(value, what is timed at it), one after the other: what one has made the next may use."""


def run_growth(folder: Path, quick: bool = False) -> pd.DataFrame:
    """Measure all series, and write ``growth.csv`` after each, ``growth.png`` at the end, into ``folder``."""
    rows, repeats = list[tuple[Any, ...]](), 1 if quick else REPEATS
    for repeat, (name, of, series) in tqdm([*product(range(repeats), SERIES)], desc="series"):
        for value, run in series(quick):
            began = time.perf_counter()
            run()
            rows.append((name, value, of, repeat, time.perf_counter() - began))
        table = pd.DataFrame(rows, columns=list(COLUMNS)).assign(machine=machine(), commit=commit())
        with atomic(folder / "growth.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.4g")
    with atomic(folder / "growth.png") as temporary:
        plots.drawn(draw(table), 150, colours=32).save(temporary, "png", optimize=True)
    plt.close("all")
    wide = table.pivot_table(
        index=["of", "value"], values="seconds", aggfunc=["mean", "min", "max"], sort=False
    )
    print(wide.droplevel(1, axis=1).reset_index().to_markdown(index=False, floatfmt=".3g"))
    return table


def prompts(quick: bool) -> Series:
    """UnlearnDiffAtk on more and more prompts of a model that nothing was erased from."""
    attacked(1, quick=True)  # a first run imports what later ones have
    for count in (1, 2) if quick else (4, 8, 16, 32):
        yield count, partial(attacked, count, quick)


def attacked(count: int, quick: bool = False) -> None:
    """UnlearnDiffAtk on ``count`` prompts of the untouched model, by a judge that no picture convinces."""
    changes = {"timesteps": 1, "steps": 1} if quick else {}
    budget = resolve.attack_budget(POCKET, "UnlearnDiffAtk", CONCEPT, changes)
    model, chosen = load_model(POCKET.base), evaluation_candidates(CONCEPT.kind, CONCEPT.labels, count)
    aims = target_latents(model, chosen, SAMPLING, BATCH)
    ATTACKS["UnlearnDiffAtk"](model, never, budget, SAMPLING, batch=BATCH).run(chosen, aims)


def never(images: torch.Tensor) -> torch.Tensor:
    """A judge that no picture convinces."""
    return torch.zeros(len(images), dtype=torch.bool)


def inner_steps(quick: bool) -> Series:
    """AdvUnlearn with more and more steps of its inner attack; the sampling paths are made before."""
    made = dict[str, Any]()
    erase("church", 1, 1, quick, made)
    for steps in (1, 2) if quick else (1, 2, 4, 8, 16, 30):
        yield steps, partial(erase, "church", steps, ITERATIONS, quick, made)


def concepts(quick: bool) -> Series:
    """One, two, ... concepts, each with its own training; the retain prompts' paths are made once."""

    def several(count: int) -> None:
        made = dict[str, Any]()
        for concept in CONCEPTS[:count]:
            erase(concept, 1, ITERATIONS, quick, made)

    for count in (1, 2) if quick else (1, 2, 3, 4):
        yield count, partial(several, count)


def seeds(quick: bool) -> Series:
    """One, two, ... seeds of one training; each has noise, and so sampling paths, of its own."""

    def several(count: int) -> None:
        made = dict[str, Any]()
        for seed in range(count):
            erase("church", 1, ITERATIONS, quick, made, seed)

    for count in (1, 2) if quick else (1, 2, 3):
        yield count, partial(several, count)


def erase(
    concept: str, steps: int, iterations: int, quick: bool, made: dict[str, Any], seed: int = 0
) -> None:
    """AdvUnlearn as the pocket profile sets it, with K = ``steps``; ``made`` keeps sampling paths."""
    options = {"iterations": 1 if quick else iterations, "attack_steps": steps, "warm_up": 0, "batch": 8}
    options |= {"steps": 2 if quick else 20, "per_prompt": 1 if quick else 12, "retain_per_prompt": 1}
    task = Task(load_model(POCKET.base), [concept], retain_set(CONCEPTS), seed=seed, made=made)
    train(prepare("advunlearn", task, options), seed)


def threads(quick: bool) -> Series:
    """The same attack with one thread, and with two."""
    before = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        yield count, partial(attacked, 1 if quick else 16, quick)
    torch.set_num_threads(before)


def workers(quick: bool) -> Series:
    """Four such attacks by one worker process of one thread, and by two; the workers have started before."""
    jobs, count = (2, 1) if quick else (4, 8)
    for number in (1, 2):
        with ProcessPoolExecutor(number, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            list(pool.map(attacked, [1] * number, [True] * number))
            yield number, lambda: list(pool.map(attacked, [count] * jobs, [quick] * jobs))


SERIES: tuple[tuple[str, str, Callable[[bool], Series]], ...] = (
    ("prompts", "prompts under attack", prompts),
    ("K", "steps of the inner attack (K)", inner_steps),
    ("concepts", "concepts erased", concepts),
    ("seeds", "seeds of a training", seeds),
    ("threads", "threads of one process", threads),
    ("workers", "worker processes", workers),
)


def draw(table: pd.DataFrame) -> Any:
    """A panel a series: seconds against what grows, both from zero."""
    sns.set_theme(style="whitegrid", context="paper")
    figure, axes = plt.subplots(2, len(SERIES) // 2, figsize=(8, 5))
    for axis, (_, part) in zip(axes.flat, table.groupby("series", sort=False), strict=True):
        sns.lineplot(part, x="value", y="seconds", marker="o", errorbar=("pi", 100), ax=axis)
        axis.set(xlabel=part.of.iloc[0], ylabel="time (s)", xlim=(0, None), ylim=(0, None))
        axis.set_xticks(sorted({0, *part.value}))
    one = table.iloc[0]
    title = (
        f"mean, lowest and highest of {table.repeat.nunique()} repeats; {one.machine}; commit {one.commit}"
    )
    figure.suptitle(title, fontsize=8)
    figure.tight_layout()
    return figure
