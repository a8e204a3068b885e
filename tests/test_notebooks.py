"""An item by the real door, computed and executed as a user would; then again from the store, in a clone."""

import json
import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.report.folders import results_folder
from advunlearn_lib.report.items import TABLES
from advunlearn_lib.report.reported import reported
from advunlearn_lib.report.tables import COLUMNS

SMALLER = ["prompts=4", "fid_images=40", "scale=0.02"]


def git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def clone(tmp_path):
    """The repository as it is now, what is not committed yet included, as a user would clone it."""
    folder = tmp_path / "repository"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    for name in git(ROOT, "ls-files", "-mdoz", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
        elif name:
            (folder / name).unlink(missing_ok=True)
    git(folder, "add", "--all")
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    git(folder, *who, "commit", "--quiet", "--allow-empty", "--message", "as it is now")
    return folder


def run(command, cwd, environment):
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.parametrize(("name", "changes", "files"), [
    ("table1", SMALLER, "csv json md tex html ipynb png pdf"),
    pytest.param("table3", [], "csv json md tex html ipynb png pdf", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_quick_run(name, changes, files, clone, tmp_path):
    words = [name, "--quick", *(f"--set={change}" for change in changes)]
    expected = {f"{name}.{suffix}" for suffix in files.split()}
    environment = os.environ | {"ADVUNLEARN_STORE": str(tmp_path / "store")}
    out, cells = tmp_path / "out", tmp_path / "store" / "pocket"
    done = run([str(ROOT / "reproduce.sh"), *words, "--out", str(out)], tmp_path, environment)
    assert f"claim   {TABLES[name]}.1" in done.stdout and "QUICK RUN" in done.stdout
    frame = pd.read_csv(out / f"{name}.csv", keep_default_na=False)
    assert tuple(frame.columns) == COLUMNS
    assert frame.reported.tolist() == [number.value for number in reported(TABLES[name])]
    assert set(frame.concept) == {"nudity"} and set(frame.here) == {"weapon"}
    assert ((frame.low <= frame.reproduced) & (frame.reproduced <= frame.high)).all()
    assert frame.query("method == 'SD v1.4' and metric == 'asr'").reproduced.item() == 100
    written = {path.name for path in out.iterdir()}
    assert expected == {file for file in written if "-" not in file}
    assert {f"{name}-dots.png", f"{name}-dots.pdf"} <= written
    for suffix in ("md", "html", "tex"):
        assert "QUICK RUN" in (out / f"{name}.{suffix}").read_text()

    # again, in a clone with the same store: nothing is computed, and no committed file changes
    shutil.copytree(tmp_path / "store", clone / "store")
    del environment["ADVUNLEARN_STORE"]
    environment["PYTHONPATH"] = str(clone)
    again = run([sys.executable, "-m", "advunlearn_lib.cli", *words], clone, environment)
    assert git(clone, "status", "--porcelain") == ""
    folder = clone / "figures" / results_folder("pocket", quick=True, overrides=changes).name
    assert {path.name for path in folder.iterdir()} == written
    assert {path.name for path in (clone / "figures").iterdir()} == {"published", folder.name}
    assert (folder / f"{name}.csv").read_bytes() == (out / f"{name}.csv").read_bytes()
    bar = f"table {TABLES[name]}:"
    lines = done.stderr.splitlines()
    assert lines and [line for line in lines if not line.startswith(bar)] == []  # a line a finished cell
    assert again.stderr == ""  # what is finished is not computed again
    assert {path.name for path in (clone / "store" / "pocket").iterdir()} == {p.name for p in cells.iterdir()}
    settings = ", ".join(["profile pocket", *changes, "seed 0"])
    head = git(clone, "rev-parse", "--short=10", "HEAD").strip()
    stamp = json.loads((folder / f"{name}.json").read_text())["stamp"]
    assert stamp == f"QUICK RUN, numbers mean nothing; {settings}, commit {head}"
