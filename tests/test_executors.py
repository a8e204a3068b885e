"""Several processes, or Ray: the same table as one process after the other computes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.cli.main import main
from advunlearn_lib.experiment import distributed


def table(out):
    return pd.read_csv(out / "table1.csv")[["method", "component", "metric", "reproduced"]]


def command(out, *more):
    small = ["--set", "prompts=4", "--set", "fid_images=40", "--set", "scale=0.02"]
    return [sys.executable, "-m", "advunlearn_lib.cli", "table1", "--quick", *small, "--out", str(out), *more]


def environment(store):
    own = {"ADVUNLEARN_STORE": str(store), "OMP_NUM_THREADS": "1", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    return os.environ | own


def run(out, store, *more):
    return subprocess.run(
        command(out, *more), cwd=ROOT, env=environment(store), check=False, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Table 1 as one process after the other computes it."""
    root = tmp_path_factory.mktemp("alone")
    done = run(root, root / "store")
    assert done.returncode == 0, done.stderr[-2000:]
    return table(root)


@pytest.mark.slow
def test_two_processes_share_a_cell_and_get_the_same(alone, tmp_path):
    done = run(tmp_path, tmp_path / "store", "--processes", "2")
    assert done.returncode == 0, done.stderr[-2000:]
    pd.testing.assert_frame_equal(table(tmp_path), alone, rtol=1e-3)


@pytest.mark.slow
def test_ray_survives_the_death_of_a_worker_and_gets_the_same(alone, tmp_path):
    pytest.importorskip("ray")
    process = subprocess.Popen(
        command(tmp_path, "--executor", "ray"), cwd=ROOT, env=environment(tmp_path / "store"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    os.kill(worker_at_work(process), signal.SIGKILL)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output.decode()[-2000:]
    pd.testing.assert_frame_equal(table(tmp_path), alone, rtol=1e-3)
    results = list((tmp_path / "store").rglob("result.json"))
    assert results and all(json.loads(path.read_text())["commit"] for path in results)


def worker_at_work(process):
    """The process id of a worker of this Ray, a descendant of ``process``, that is computing a cell."""
    for _ in range(600):
        listed = subprocess.run(
            ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
        ).stdout.splitlines()[1:]
        lines = [line.split(None, 2) for line in listed]
        parents = {int(pid): int(parent) for pid, parent, _ in lines}
        found = [int(pid) for pid, _, words in lines if "ray::work" in words]
        ours = [pid for pid in found if process.pid in ancestors(pid, parents)]
        if ours:
            time.sleep(2)
            return ours[0]
        assert process.poll() is None, process.stdout.read().decode()[-2000:]
        time.sleep(0.2)
    raise AssertionError("no worker began")


def ancestors(pid, parents):
    while pid in parents:
        pid = parents[pid]
        yield pid


def test_an_unknown_executor_is_named(tmp_path, monkeypatch, capsys):
    pytest.importorskip("ray")
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    assert main(["table1", "--quick", "--executor", "slurm", "--out", str(tmp_path)]) == 2
    message = "unknown executor 'slurm' (allowed: local, ray, ray://ADDRESS)"
    assert message in capsys.readouterr().err


class State:
    """accelerate's view of one of several processes."""

    def __init__(self, index, count):
        self.process_index, self.num_processes = index, count


@pytest.mark.parametrize(("count", "processes"), [(7, 1), (7, 2), (7, 3), (2, 3), (0, 2), (8, 4)])
def test_every_index_is_worked_on_once_and_results_come_in_order(monkeypatch, count, processes):
    """Also where the work does not divide: accelerate's own split would do the last piece twice."""
    gathered, parts = {}, []
    for index in range(processes):
        state = State(index, processes) if processes > 1 else None
        monkeypatch.setattr(distributed, "processes", lambda state=state: state)
        monkeypatch.setattr(distributed, "gather_object", lambda part: part)
        gathered[index] = distributed.split_work(
            count, lambda which: parts.append(list(which)) or [10 * i for i in which]
        )
    assert [i for part in parts for i in part] == list(range(count))
    assert [value for part in gathered.values() for value in part] == [10 * i for i in range(count)]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1 and np.sum([len(part) for part in parts]) == count
