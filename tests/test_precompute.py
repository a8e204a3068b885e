"""``--processes``, ``--executor``: cells are computed elsewhere, after the same checks, before notebooks."""

import sys
from concurrent.futures import Future
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.main import main
from advunlearn_lib.execute.plan import Job, share_of
from advunlearn_lib.execute.ray import compute_with_ray
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report import run_all
from advunlearn_lib.report.items import ITEMS
from advunlearn_lib.report.reported import jobs_of

JOBS = [Job(POCKET, Protocol(POCKET).model(Row("nudity", "ESD", "UNet")))]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    return tmp_path / "store"


@pytest.fixture
def launched(monkeypatch):
    """Command lines that would have been launched; nothing is."""
    lines = []

    def launch(processes, module, words):
        lines.append((processes, module, words))
        return 7

    monkeypatch.setattr("advunlearn_lib.cli.precompute.launch", launch)
    return lines


@pytest.mark.parametrize("command", ["table3", "all"])
def test_several_processes_are_launched_with_the_same_words(store, launched, tmp_path, command):
    words = [command, "--quick", "--processes", "2", "--out", str(tmp_path / "o u t")]
    assert main(words) == 7  # the processes' exit code
    assert launched == [(2, "advunlearn_lib.cli", words)]


def test_nothing_is_launched_on_a_machine_too_small(store, launched, tmp_path, capsys):
    words = ["table3", "--processes", "2", "--out", str(tmp_path / "out"), "--set", "disk_gb=1e6"]
    assert main(words) == 2 and launched == []
    assert "GB are free for the store" in capsys.readouterr().err


def test_nothing_is_launched_where_nothing_is_left(store, launched, tmp_path, monkeypatch):
    monkeypatch.setattr("advunlearn_lib.cli.precompute.plan", lambda jobs, store: [])
    executed = []
    monkeypatch.setattr("advunlearn_lib.cli.items.execute", lambda *words: executed.append(words))
    assert main(["table3", "--processes", "2", "--out", str(tmp_path)]) == 0
    assert launched == [] and [name for name, _ in executed] == ["table3"]


def test_a_launched_process_computes_and_leaves_the_notebook_to_the_first(store, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    computed, executed = [], []
    monkeypatch.setattr("advunlearn_lib.cli.precompute.compute", lambda jobs, *_: computed.append(len(jobs)))
    monkeypatch.setattr("advunlearn_lib.cli.items.execute", lambda *words: executed.append(words))
    assert main(["table3", "--processes", "2", "--out", str(tmp_path)]) == 0
    assert computed == [10] and executed == []


@pytest.fixture
def here(monkeypatch):
    """Notebooks' workers are this process."""

    def submit(work, *given):
        future = Future()
        try:
            future.set_result(work(*given))
        except SystemExit as end:
            future.set_exception(end)
        return future

    monkeypatch.setattr(run_all, "workers", lambda *_: nullcontext(SimpleNamespace(submit=submit)))
    monkeypatch.setattr(run_all, "compute", lambda *_: None)


def test_all_executes_notebooks_without_the_options_of_computing(store, here, monkeypatch, tmp_path):
    """A notebook that was told --processes or --executor would compute once more, 25 times at once."""
    executed = []
    monkeypatch.setattr("advunlearn_lib.cli.precompute.compute_with_ray", lambda *_: None)
    monkeypatch.setattr(run_all, "report_claims", lambda _: None)
    monkeypatch.setattr("advunlearn_lib.report.notebook.execute", lambda *words: executed.append(words))
    run_options = ["--quick", "--seeds", "2", "--out", str(tmp_path)]
    assert main(["all", *run_options, "--processes", "2", "--executor", "ray"]) == 0
    parameters = {
        "profile": "pocket", "overrides": [], "quick": True, "seed": None, "seeds": 2, "out": str(tmp_path),
    }  # fmt: skip
    assert executed == [(name, parameters) for name in ITEMS]


def test_a_failed_notebook_is_named_after_all_others_are_done(store, here, monkeypatch, tmp_path, capsys):
    done = []

    def execute(name, parameters):
        print("a table that nobody asked for")
        done.append(name)
        if name == "table1":
            raise UserError("no luck")
        if name == "table2":
            raise ValueError("a traceback\nValueError: of two lines\n")
        if name == "table3":
            raise SystemExit("the worker ended")

    monkeypatch.setattr("advunlearn_lib.report.notebook.execute", execute)
    monkeypatch.setattr(run_all, "report_claims", lambda _: done.append("claims"))
    assert main(["all", "--quick", "--out", str(tmp_path)]) == 2
    assert done[-1] == "claims" and len(done) == len(ITEMS) + 1
    said = capsys.readouterr()
    assert "3 of 25 notebooks failed; table1: no luck; table2: ValueError: of two lines; " in said.err
    assert "table3: the worker ended\n" in said.err
    assert "nobody asked" not in said.out


@pytest.fixture
def cluster(monkeypatch):
    """A stand-in for the module ``ray``: an empty cluster of four CPUs that records what is asked of it."""

    def remote(**_):
        raise AssertionError("a cell was sent to the cluster")

    asked = []
    stub = SimpleNamespace(
        init=lambda address, **_: asked.append(address),
        cluster_resources=lambda: {"CPU": 4.0},
        remote=remote,
        shutdown=lambda: asked.append("shutdown"),
    )
    monkeypatch.setitem(sys.modules, "ray", stub)
    return asked


def test_ray_refuses_a_cluster_without_gpus(cluster, tmp_path):
    jobs = [Job(POCKET.model_copy(update={"gpus": 1}), JOBS[0].spec)]
    with pytest.raises(UserError, match=r"a cell needs 1 GPU and the cluster has none .*--set gpus=0"):
        compute_with_ray(jobs, Store(tmp_path), "ray://head:10001")
    assert cluster == ["ray://head:10001", "shutdown"]


def test_ray_refuses_a_disk_too_small_before_it_connects(cluster, tmp_path):
    jobs = [Job(POCKET.model_copy(update={"disk_gb": 1e9}), JOBS[0].spec)]
    with pytest.raises(UserError, match="GB are free for the store"):
        compute_with_ray(jobs, Store(tmp_path), "ray")
    assert cluster == []


def test_ray_is_not_asked_where_nothing_is_left(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("advunlearn_lib.execute.ray.plan", lambda jobs, store: [])
    compute_with_ray(JOBS, Store(tmp_path), "ray")
    assert cluster == []


def test_ray_that_is_not_installed_is_named_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"needs the extra 'ray': pip install 'advunlearn_lib\[ray\]'"):
        compute_with_ray(JOBS, Store(tmp_path), "ray")


def test_shares_are_everything_once_and_a_model_is_in_one_of_them():
    jobs = [job for table in ("3", "5", "9") for job in jobs_of([Study(POCKET)], table)]
    shares = [share_of(jobs, part, 4) for part in range(1, 5)]
    together = [job.spec.key for share in shares for job in share]
    assert sorted(together) == sorted(job.spec.key for job in jobs) and min(map(len, shares)) > 0
    models = [{job.model().key for job in share if job.model()} for share in shares]
    assert sum(map(len, models)) == len(set.union(*models))
    assert share_of(jobs, 1, 1) == jobs


@pytest.mark.parametrize("command", ["table3", "all"])
def test_a_share_is_computed_into_the_store_and_no_notebook_is_run(
    store, tmp_path, monkeypatch, capsys, command
):
    computed = []
    monkeypatch.setattr(
        "advunlearn_lib.cli.precompute.compute", lambda jobs, store, desc: computed.append(jobs)
    )
    for part in ("1/2", "2/2"):
        assert main([command, "--quick", "--share", part, "--out", str(tmp_path / "out")]) == 0
    assert all(computed) and f"{command}: share 2 of 2, " in capsys.readouterr().out
    assert not list((tmp_path / "out").glob("*"))


def test_a_share_is_not_combined_with_other_processes(store, tmp_path, capsys):
    assert main(["table3", "--share", "1/2", "--processes", "2", "--out", str(tmp_path / "out")]) == 2
    assert "--share is computed here" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/", "/2", "a/b", "1/2/3", "-1/2"])
def test_a_share_that_is_none_is_refused(text, capsys):
    assert main(["table3", f"--share={text}"]) == 2
    assert "is not K/N with K from 1 to N, such as 3/8" in capsys.readouterr().err
