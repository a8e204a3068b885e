"""One cell on several GPUs: each process does its part of the prompts or pictures (``accelerate launch``).

Prompts and pictures do not feel each other, so the result does not depend
on the number of processes. Training stays on the first process; the
others wait. Without ``accelerate launch`` all of this is a plain call.
"""

from __future__ import annotations

import os
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

from advunlearn_lib.base.keys import Recipe
from advunlearn_lib.base.sealed import Record
from advunlearn_lib.base.store import Store

Result = TypeVar("Result")
PATIENCE = timedelta(days=7)  # how long processes wait for the first one's training


@cache
def processes() -> PartialState | None:
    """accelerate's view of the processes; None where there is one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    return PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)


def split_work(count: int, work: Callable[[Sequence[int]], list[Result]]) -> list[Result]:
    """``work`` on the indices 0 .. count - 1, shared out: all processes return all results, in order."""
    state = processes()
    if state is None:
        return work(range(count))
    parts = np.array_split(np.arange(count), state.num_processes)  # accelerate's repeats the last one
    return gather_object(work(parts[state.process_index].tolist()))  # type: ignore[no-any-return]


def shared_cell(
    store: Store, kind: str, recipe: Recipe, compute: Callable[[Path], Any], together: bool = False
) -> Record:
    """``store.cell``, by the first process alone, or ``together``, where ``compute`` splits its work."""
    state = processes()
    if state is None:
        return store.cell(kind, recipe, compute)
    if together and store.read(kind, recipe) is None:
        state.wait_for_everyone()  # nobody writes before all have looked
        if state.is_main_process:
            store.cell(kind, recipe, compute)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                compute(Path(scratch))
    else:
        with state.main_process_first():
            store.cell(kind, recipe, compute)
    state.wait_for_everyone()
    return store.cell(kind, recipe, compute)
