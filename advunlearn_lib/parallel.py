"""Compute many cells at once: one process a GPU, or a core with one thread each; the store between them.

Small models leave a second thread half idle: two processes of one thread do about 1.6 times the work of one with two
(``benchmarks/bank.py`` measures it).
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch

from advunlearn_lib import shards
from advunlearn_lib.errors import UserError
from advunlearn_lib.files import check_disk
from advunlearn_lib.profiles import Profile
from advunlearn_lib.progress import tqdm
from advunlearn_lib.recipes import Cell, Recipes
from advunlearn_lib.store import Recipe, Store, key_of
from advunlearn_lib.study import Study

Task = tuple[Profile, Cell]


def needed(tasks: Sequence[Task]) -> dict[tuple[str, str], tuple[Task, Recipe]]:
    """Everything ``tasks`` rest on, each cell once, by its kind and key; the models they need included."""
    found: dict[tuple[str, str], tuple[Task, Recipe]] = {}
    for profile, cell in tasks:
        recipes = Recipes(profile)
        trained = recipes.trained(cell.row)
        for wanted in ([Cell(trained, "", "model")] if trained else []) + [cell]:
            kind, recipe = recipes.cell(wanted)
            if kind:
                found.setdefault((kind, key_of(recipe)), ((profile, wanted), recipe))
    return found


def plan(tasks: Sequence[Task], store: Store) -> list[Task]:
    """What is still to be computed for ``tasks``: models first, the dearest (attacked) at the head; pictures, the longest, next."""
    todo = [task for (kind, _), (task, recipe) in needed(tasks).items() if store.read(kind, recipe) is None]
    order = {"model": 0, "fid": 2, "clip": 2}
    return sorted(todo, key=lambda task: (order.get(task[1].metric, 3), task[1].row.method not in ("AT-ESD", "AdvUnlearn")))


def compute(tasks: Sequence[Task], store: Store, desc: str, workers: int | None = None) -> None:
    """See to it that the store holds all ``tasks``; those it has are not looked at again.

    What a worker raises is raised here, and the tasks not yet begun are dropped.
    """
    todo = plan(tasks, store)
    if (processes := shards.state()) is not None:
        processes.wait_for_everyone()  # nobody computes before all have planned
        for profile, cell in todo:
            work(profile, cell, store.root)
    elif todo:
        preflight(todo, store)
        run_pool(todo, store, desc, workers)


def preflight(todo: Sequence[Task], store: Store) -> None:
    """:class:`UserError` where the machine cannot do what is asked of it, before anything is begun."""
    profile = todo[0][0]
    check_disk("store", store.root, profile.disk_gb)
    if not profile.gpu_gb or profile.device == "cpu":
        return
    if not torch.cuda.is_available():
        raise UserError(
            f"the profile {profile.name} needs a GPU of {profile.gpu_gb:g} GB and torch sees none (--set device=cpu goes on anyway)"
        )
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9
    models = [Recipes(one).erase(cell.row) for one, cell in todo if cell.metric == "model"]
    unet = any(recipe["options"]["component"] == "unet" for recipe in models)
    wanted, setting = (profile.gpu_unet_gb, "gpu_unet_gb") if unet else (profile.gpu_gb, "gpu_gb")
    if memory < wanted:
        raise UserError(f"the GPU has {memory:.0f} GB; {wanted:g} GB are needed (--set {setting}=0 goes on anyway)")


def run_pool(todo: list[Task], store: Store, desc: str, workers: int | None) -> None:
    """All of ``todo`` in processes of our own, one a GPU, or where there is none one a core."""
    gpus = torch.cuda.device_count()
    count = min(workers or gpus or os.cpu_count() or 1, len(todo))
    context = get_context("spawn")
    lines: SimpleQueue[tuple[int, str]] = context.SimpleQueue()
    free: SimpleQueue[int] = context.SimpleQueue()
    for gpu in range(gpus):
        free.put(gpu)
    arguments = (lines, free, max(1, (os.cpu_count() or 1) // count))
    with ProcessPoolExecutor(count, context, initializer=set_up, initargs=arguments) as pool:
        # Ctrl-C is for this process alone: workers are born deaf to it and ended by the handler below
        hear = signal.signal(signal.SIGINT, signal.SIG_IGN)
        futures = {pool.submit(work, profile, cell, store.root): cell for profile, cell in todo}
        signal.signal(signal.SIGINT, hear)
        try:
            follow(futures, lines, desc)
        except BaseException:
            running = list((pool._processes or {}).values())  # shutdown forgets them
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.terminate()
            raise


def follow(futures: dict[Future[None], Cell], lines: SimpleQueue[tuple[int, str]], desc: str) -> None:
    """One bar for all tasks; behind it, what each worker's own bar says now."""
    pending, now = set(futures), dict[int, str]()
    with tqdm(total=len(futures), desc=desc) as bar:
        while pending:
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            while not lines.empty():
                worker, line = lines.get()
                now[worker] = line
            for future in done:
                future.result()
                bar.update()
            bar.set_postfix_str(" | ".join(now.values()))


class Relay(io.StringIO):
    """A worker's stderr: the head of each progress line goes to the parent."""

    def __init__(self, lines: SimpleQueue[tuple[int, str]]) -> None:
        super().__init__()
        self.lines = lines

    def write(self, text: str) -> int:
        """Send "attack:  45%" of "attack:  45%|####    | 27/60 [...]"."""
        head, bar, _ = text.partition("|")
        if bar:
            self.lines.put((os.getpid(), head.strip()))
        return len(text)


def set_up(lines: SimpleQueue[tuple[int, str]], free: SimpleQueue[int], threads: int) -> None:
    """A worker's first act: it takes a GPU, if there is one left, and sees no other."""
    if not free.empty():
        os.environ["CUDA_VISIBLE_DEVICES"] = str(free.get())
    torch.set_num_threads(threads)
    sys.stderr = Relay(lines)


def work(profile: Profile, cell: Cell, root: Path) -> None:
    """One task, in a worker."""
    study = Study(profile, Store(root))
    if cell.metric in ("model", "seconds_per_iteration"):
        study.model(cell.row)
    else:
        study.estimate(cell)
