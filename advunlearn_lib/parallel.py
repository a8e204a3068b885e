"""Compute many cells at once: one process a core, one thread each, the store between them.

Small models leave a second thread half idle: two processes of one thread do about 1.6 times the work of one with two
(``benchmarks/bank.py`` measures it).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch

from advunlearn_lib.profiles import Profile
from advunlearn_lib.progress import tqdm
from advunlearn_lib.store import Store, key_of
from advunlearn_lib.study import Study


class Cell(NamedTuple):
    """A number of one model; ``metric`` "model" means the erased model itself."""

    concept: str
    method: str
    component: str
    attack: str
    metric: str

    def label(self) -> str:
        """For a progress bar."""
        return " ".join(filter(None, (self.method, self.component, self.metric)))


def compute(tasks: Sequence[tuple[Profile, Cell]], store: Store, desc: str, workers: int | None = None) -> None:
    """See to it that the store holds all ``tasks``; those it has are not looked at again.

    Models come first, the dearest (attacked) ones at the head, so that evaluations seldom wait for them. What a worker
    raises is raised here, and the tasks not yet begun are dropped.
    """
    missing = {}
    for profile, cell in [*((profile, cell._replace(metric="model")) for profile, cell in tasks), *tasks]:
        kind, recipe = Study(profile, store).cell(*cell)
        if "method" in recipe or kind != "erase":  # the base model is nobody's work
            missing[kind, key_of(recipe)] = (profile, cell, kind, recipe)
    todo = [(profile, cell) for profile, cell, kind, recipe in missing.values() if store.read(kind, recipe) is None]
    todo.sort(key=lambda task: (task[1].metric != "model", (task[1].method == "ESD") == (task[1].metric == "model")))
    if not todo:
        return
    count = min(workers or os.cpu_count() or 1, len(todo))
    threads = max(1, (os.cpu_count() or 1) // count)
    with ProcessPoolExecutor(count, get_context("spawn"), initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        futures = {pool.submit(work, profile, cell, store.root): cell for profile, cell in todo}
        try:
            bar = tqdm(as_completed(futures), total=len(futures), desc=desc)
            for future in bar:
                future.result()
                bar.set_postfix_str(f"done: {futures[future].label()}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise


def work(profile: Profile, cell: Cell, root: Path) -> None:
    """One task, in a worker."""
    study = Study(profile, Store(root))
    if cell.metric == "model":
        study.model(*cell[:3])
    else:
        study.estimate(*cell)
