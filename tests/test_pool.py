"""Which GPUs workers take, and what a worker's first act sets."""

import os
import sys
from contextlib import nullcontext
from multiprocessing import get_context
from types import SimpleNamespace

import pytest
import torch

from advunlearn_lib.base.errors import Interrupted
from advunlearn_lib.base.store import Store
from advunlearn_lib.execute import pool
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import Relay, set_up, visible_gpus
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.pocket import POCKET


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize(("given", "device", "taken"), [
    (None, "auto", ["0", "1"]),
    ("2,3", "auto", ["2", "3"]),
    ("2,3", "cuda", ["2", "3"]),
    (" 2 , 3 ", "auto", ["2", "3"]),
    ("GPU-4a1b,GPU-77c0", "auto", ["GPU-4a1b", "GPU-77c0"]),
    ("2,3,-1,4", "auto", ["2", "3"]),  # CUDA reads up to the first that is none
    ("2,3", "cuda:1", []),
    ("2,3", "cpu", []),
])  # fmt: skip
def test_workers_get_the_gpus_that_this_process_was_given(two_gpus, monkeypatch, given, device, taken):
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert visible_gpus(device) == taken


def test_no_gpu_is_taken_where_none_was_given(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert visible_gpus("auto") == []


@pytest.fixture
def queues(monkeypatch):
    """A worker's two queues; what it sets is undone."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    threads = torch.get_num_threads()
    context = get_context("spawn")
    yield context.SimpleQueue(), context.SimpleQueue()
    torch.set_num_threads(threads)


def test_each_worker_takes_one_gpu_and_the_rest_keep_what_they_see(queues):
    lines, free = queues
    for gpu in ("3", "GPU-77c0"):
        free.put(gpu)
    seen = []
    for _ in range(3):
        set_up(lines, free, 2)
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == ["3", "GPU-77c0", "GPU-77c0"]  # the third finds none left
    assert torch.get_num_threads() == 2 and isinstance(sys.stderr, Relay)


def test_a_worker_ends_with_its_parent(queues, monkeypatch):
    watched = []
    monkeypatch.setattr(pool, "end_with_parent", lambda: watched.append(1))
    set_up(*queues, 1)
    assert watched == [1]


def test_a_workers_progress_reaches_its_parent(queues):
    lines, free = queues
    set_up(lines, free, 1)
    sys.stderr.write("attack:  45%|####    | 27/60 [00:01<00:02]")
    sys.stderr.write("a warning without a bar")
    assert lines.get() == (os.getpid(), "attack:  45%") and lines.empty()


class Executor:
    """Records how many workers there would be and what they are told; computes nothing."""

    def __init__(self, count, context, initializer, initargs):
        type(self).count, (_, free, type(self).threads) = count, initargs
        type(self).gpus = [free.get() for _ in iter(lambda: not free.empty(), False)]
        assert initializer is set_up
        raise KeyboardInterrupt  # before any worker starts


def test_a_stop_ends_in_one_sentence(monkeypatch, tmp_path):
    """In a notebook, where a traceback would say nothing that its reader did not do himself."""

    def stopped(*_):
        raise KeyboardInterrupt

    workers = nullcontext(SimpleNamespace(submit=lambda *_: 1))
    monkeypatch.setattr(pool, "follow", stopped)
    monkeypatch.setattr(pool, "ProcessPoolExecutor", lambda *_, **__: workers)
    todo = [Job(POCKET, Protocol(POCKET).model(Row("nudity", "ESD")))]
    with pytest.raises(Interrupted) as error:
        pool.run_pool(todo, Store(tmp_path), "test")
    (line,) = error.value._render_traceback_()
    assert line == "Interrupted; what is finished is kept. Run the cell again to go on."


@pytest.mark.parametrize(("device", "count", "gpus"), [
    ("auto", 2, ["2", "3"]),
    ("cuda:1", 1, []),  # that GPU is the only one: two workers would share it
    ("cpu", 3, []),
])  # fmt: skip
def test_one_worker_a_gpu_or_one_a_core(two_gpus, monkeypatch, tmp_path, device, count, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    monkeypatch.setattr(pool, "ProcessPoolExecutor", Executor)
    profile = POCKET.model_copy(update={"device": device})
    todo = [Job(profile, Protocol(POCKET).model(Row("nudity", "ESD")))] * 5
    with pytest.raises(KeyboardInterrupt):
        pool.run_pool(todo, Store(tmp_path), "test")
    assert (Executor.count, Executor.gpus, Executor.threads) == (count, gpus, 3 // count)
