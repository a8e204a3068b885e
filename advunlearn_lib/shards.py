"""One cell on several GPUs: each process does its share of the prompts or pictures (``accelerate launch``, ``--processes``).

Prompts and pictures do not feel each other, so the result does not depend on the number of processes. Training stays
on the first process; the others wait. Without ``accelerate launch`` all of this is a plain call.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from advunlearn_lib.store import Recipe, Store

Result = TypeVar("Result")
PATIENCE = timedelta(days=7)  # how long processes wait for the first one's training


@cache
def state() -> PartialState | None:
    """accelerate's view of the processes; None where there is one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    return PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)


def share(count: int, work: Callable[[Sequence[int]], list[Result]]) -> list[Result]:
    """``work`` on the indices 0 .. count - 1, this process's part of them; all processes return all results, in order."""
    now = state()
    if now is None:
        return work(range(count))
    mine = np.array_split(np.arange(count), now.num_processes)[now.process_index]  # accelerate's own split repeats the last one
    return gather_object(work(mine.tolist()))  # type: ignore[no-any-return]


def cell(store: Store, kind: str, recipe: Recipe, compute: Callable[[Path], Any], together: bool = False) -> dict[str, Any]:
    """``store.cell``: by the first process alone, or ``together``, where ``compute`` shares its work; all return the record."""
    now = state()
    if now is None:
        return store.cell(kind, recipe, compute)
    if together and store.read(kind, recipe) is None:
        now.wait_for_everyone()  # nobody writes before all have looked
        if now.is_main_process:
            store.cell(kind, recipe, compute)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                compute(Path(scratch))
    else:
        with now.main_process_first():
            store.cell(kind, recipe, compute)
    now.wait_for_everyone()
    return store.cell(kind, recipe, compute)


def launch(processes: int, arguments: Sequence[str]) -> int:
    """This command line again, in ``processes`` processes, a GPU each where there are some."""
    own = ["--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--multi_gpu"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *own, "--module", "advunlearn_lib.cli", *arguments]
    cpu = (
        {}
        if torch.cuda.is_available()
        else {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}
    )
    return subprocess.call(command, env=os.environ | cpu)
