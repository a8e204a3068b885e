"""Compute many cells at once: one process a GPU, or a core with one thread each; the store between them.

Small models leave a second thread half idle: two processes of one thread do about 1.6 times the work of one
with two (``benchmarks/growth.py`` measures it).
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch

from advunlearn_lib.base.errors import Interrupted
from advunlearn_lib.base.orphans import end_with_parent
from advunlearn_lib.base.progress import say, tqdm
from advunlearn_lib.base.store import Store
from advunlearn_lib.execute.plan import Job, plan
from advunlearn_lib.execute.preflight import preflight
from advunlearn_lib.experiment.attack_spec import AttackSpec
from advunlearn_lib.experiment.distributed import processes
from advunlearn_lib.experiment.erasure_spec import ModelSpec
from advunlearn_lib.experiment.picture_specs import QualitySpec
from advunlearn_lib.experiment.study import Study


def compute(jobs: Sequence[Job], store: Store, desc: str) -> None:
    """See to it that the store holds all ``jobs``; those it has are not looked at again.

    What a worker raises is raised here, and the jobs not yet begun are dropped. Raises :class:`UserError`
    where the machine cannot do it.
    """
    todo = plan(jobs, store)
    state = processes()
    if state is not None:
        state.wait_for_everyone()  # nobody computes before all have planned
    if todo:
        preflight(todo, store)
    if state is None and todo:
        run_pool(todo, store, desc)
        return
    for job in todo:
        compute_one(job, store.root)


def visible_gpus(device: str) -> list[str]:
    """The GPUs that workers may take, as CUDA_VISIBLE_DEVICES names them.

    They are those this process was given, no others; none of them where ``device`` names the CPU or one GPU,
    which is then the only one.
    """
    if device not in ("auto", "cuda"):
        return []
    count = torch.cuda.device_count()
    given = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return given[:count] or [str(number) for number in range(count)]


def run_pool(todo: list[Job], store: Store, desc: str) -> None:
    """All of ``todo`` in processes of our own: one a GPU, one for a GPU that was named, or one a core."""
    device = todo[0].profile.device
    gpus = visible_gpus(device)
    most = len(gpus) or (1 if device.startswith("cuda") else os.cpu_count() or 1)
    count = min(most, len(todo))
    context = get_context("spawn")
    lines: SimpleQueue[tuple[int, str]] = context.SimpleQueue()
    free: SimpleQueue[str] = context.SimpleQueue()
    for gpu in gpus:
        free.put(gpu)
    with workers(count, set_up, lines, free, max(1, (os.cpu_count() or 1) // count)) as pool:
        futures = {pool.submit(compute_one, job, store.root): job.name() for job in todo}
        follow(futures, lines, desc)


@contextmanager
def workers(count: int, set_up: Callable[..., None], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """``count`` processes. Whatever is raised within ends them, and work not begun is dropped.

    Ctrl-C is for this process alone, which raises :class:`Interrupted`.
    """
    others = set(active_children())
    with ProcessPoolExecutor(count, get_context("spawn"), initializer=set_up, initargs=arguments) as pool:
        try:
            heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
            pool.submit(int)  # starts them all, deaf to Ctrl-C
            signal.signal(signal.SIGINT, heard)
            yield pool
        except BaseException as error:
            for worker in set(active_children()) - others:
                worker.terminate()
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted from None
            raise


def follow(futures: dict[Future[None], str], lines: SimpleQueue[tuple[int, str]], desc: str) -> None:
    """One bar for all cells; behind it, what each worker's own bar says now. Or a line a finished cell."""
    pending, now, finished = set(futures), dict[int, str](), 0
    with tqdm(total=len(futures), desc=desc) as bar:
        while pending:
            done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            while not lines.empty():
                worker, line = lines.get()
                now[worker] = line
            for future in done:
                future.result()
                bar.update()
                finished += 1
                say(f"{desc}: {finished}/{len(futures)} {futures[future]}")
            bar.set_postfix_str(" | ".join(now.values()) if pending else "")


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


def set_up(lines: SimpleQueue[tuple[int, str]], free: SimpleQueue[str], threads: int) -> None:
    """A worker's first act: it takes a GPU, if there is one left, and sees no other.

    It ends with its parent.
    """
    end_with_parent()
    if not free.empty():
        os.environ["CUDA_VISIBLE_DEVICES"] = free.get()
    torch.set_num_threads(threads)
    sys.stderr = Relay(lines)


def compute_one(job: Job, root: Path) -> None:
    """One cell, in a worker."""
    study = Study(job.profile, Store(root))
    match job.spec:
        case ModelSpec():
            study.load(job.spec)
        case AttackSpec():
            study.attacked(job.spec)
        case QualitySpec():
            study.measured(job.spec)
