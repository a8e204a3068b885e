"""A stopped run says how to go on, in words that a shell takes as they were, and leaves no process behind."""

import os
import shlex
import shutil
import signal
import subprocess
import sys

import pytest
from made_up import QUICK
from processes import gone

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.command import Command
from advunlearn_lib.cli.main import main
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol

RESUMED = {
    "table3": ["table3", "--set", "base=a folder/it's", "--out", "o u t"],
    "all": ["all", "--quick"],
    "claims": ["claims", "--seeds", "2"],
    "tune": ["tune", "--kind", "object"],
    "pocket-train": ["pocket-train", "--stage", "vae"],
    "erase": ["erase", "--base", "x", "--out", "y", "--concept", "a church"],
    "generate": ["generate", "--base", "x", "--out", "y", "--prompt", "a church"],
    "attack": ["attack", "--base", "x", "--out", "y"],
    "evaluate": ["evaluate", "--base", "x", "--out", "y"],
}
NOT_RESUMED = {
    "pocket-quality": ["pocket-quality"],
    "doctor": ["doctor"],
    "store": ["store", "gc"],
}


@pytest.fixture
def stopped(monkeypatch):
    """Every command is interrupted as soon as it runs."""

    def interrupt(self, options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Command, "run", interrupt)


@pytest.mark.parametrize("words", RESUMED.values(), ids=list(RESUMED))
def test_the_hint_is_the_command_line_again(stopped, words, capsys):
    assert main(words) == 130
    error = capsys.readouterr().err
    head, _, hint = error.partition(" To resume: ./reproduce.sh ")
    assert head == "\ninterrupted; what is finished is kept."
    assert shlex.split(hint) == words and hint.count("\n") == 1


@pytest.mark.parametrize("words", NOT_RESUMED.values(), ids=list(NOT_RESUMED))
def test_no_hint_where_nothing_is_kept(stopped, words, capsys):
    assert main(words) == 130 and capsys.readouterr().err == "\ninterrupted\n"


@pytest.mark.parametrize("item", [
    "table1",  # within a notebook's kernel
    pytest.param("all", marks=pytest.mark.slow),  # without
])  # fmt: skip
def test_a_stopped_run_leaves_nobody_behind(own_store, tmp_path, item):
    """Of the table one model is missing, which a worker trains; of ``all`` everything."""
    missing = Protocol(QUICK).model(Row("nudity", "AT-ESD")).recipe
    shutil.rmtree(Store(own_store / QUICK.name).folder("erase", missing))  # to be trained
    store = own_store if item == "table1" else tmp_path / "empty"
    words = [item, "--quick", "--out", str(tmp_path / "o u t")]
    own = {"ADVUNLEARN_STORE": str(store), "OMP_WAIT_POLICY": "passive", "ADVUNLEARN_PROGRESS": "bar"}
    process = subprocess.Popen(
        [sys.executable, "-m", "advunlearn_lib.cli", *words], cwd=ROOT, env=os.environ | own,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for_a_worker(process, "erase:")
    process.send_signal(signal.SIGTERM)  # handled as Ctrl-C is
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in rest and f"To resume: ./reproduce.sh {shlex.join(words)}" in rest
    assert "Traceback" not in rest
    assert gone(-process.pid)


POOL = """
import sys
from pathlib import Path
from advunlearn_lib.base.store import Store
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.load import load_profile
profile = load_profile(quick=True)
job = Job(profile, Protocol(profile).model(Row("nudity", "ESD")))
compute([job], Store(Path(sys.argv[1])), "models")
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGHUP])
def test_workers_end_with_their_parent_however_it_ends(tmp_path, end):
    process = subprocess.Popen(
        [sys.executable, "-c", POOL, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    wait_for_a_worker(process, "sample paths:")
    process.send_signal(end)
    assert process.wait(timeout=60) == -end
    assert gone(-process.pid)


def wait_for_a_worker(process, at_work):
    """Read ``process``'s bar until a worker says that it is ``at_work``."""
    seen = ""
    while at_work not in seen:
        letter = process.stderr.read(1)
        assert letter, f"it ended before it began: {seen[-2000:]}"
        seen += letter
