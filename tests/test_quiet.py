"""No library's notice reaches a reader; a user's mistake is one line; a headless run says a line a cell."""

import subprocess
import sys
from concurrent.futures import Future
from multiprocessing import SimpleQueue

import pytest
from IPython.core.interactiveshell import InteractiveShell

from advunlearn_lib.base import progress
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.execute import pool

LOADED = """
from advunlearn_lib import load_clip, load_judge, load_model
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.profiles.pocket import POCKET
load_clip(POCKET.clip), load_model(POCKET.base), load_judge(POCKET.judge("judge-object"), ["church"], 0.9)
list(tqdm(range(3), disable=True))
"""


def test_loading_models_says_nothing():
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "" and done.stderr == ""


def follow_two(monkeypatch, style):
    """Two finished cells, followed as ``style`` says."""
    monkeypatch.setattr(progress, "STYLE", style)
    monkeypatch.setattr(pool, "tqdm", progress.bar_here())
    futures = {}
    for method in ("ESD", "UCE"):
        future = Future()
        future.set_result(None)
        futures[future] = f"UnlearnDiffAtk on church erased by {method}"
    pool.follow(futures, SimpleQueue(), "table 7")


def test_a_headless_run_says_a_line_a_finished_cell(monkeypatch, capsys):
    follow_two(monkeypatch, "lines")
    lines = capsys.readouterr().err.splitlines()
    assert {line.split(" ", 3)[3] for line in lines} == {
        "UnlearnDiffAtk on church erased by ESD", "UnlearnDiffAtk on church erased by UCE",
    }  # fmt: skip
    assert [line.split(" ", 3)[:3] for line in lines] == [["table", "7:", "1/2"], ["table", "7:", "2/2"]]
    follow_two(monkeypatch, "bar")
    bar = capsys.readouterr().err
    assert "2/2" in bar and "church" not in bar


@pytest.mark.parametrize("error", [UserError("seeds must be at least 1, not 0"), ValueError("a fault")])
def test_a_users_mistake_is_one_line_in_a_notebook(error, capsys):
    shell = InteractiveShell.instance()
    shell.user_ns["error"] = error
    shell.run_cell("raise error")
    said = capsys.readouterr().out.strip()
    assert (said == "UserError: seeds must be at least 1, not 0") == isinstance(error, UserError)
    assert ("Traceback" in said) != isinstance(error, UserError)
    InteractiveShell.clear_instance()
