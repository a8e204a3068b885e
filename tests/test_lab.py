"""``lab``, and the index of all notebooks that it opens on."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from advunlearn_lib.base.paths import PUBLISHED, ROOT
from advunlearn_lib.cli import lab
from advunlearn_lib.cli.main import main
from advunlearn_lib.report import folders
from advunlearn_lib.report.index import computed, index, line
from advunlearn_lib.report.items import BEYOND, ITEMS

POCKET = PUBLISHED / "pocket"
LINK = re.compile(r"\[([^]]*)\]\(([^)]*)\)")


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """A folder of results of its own, as it is committed."""
    shutil.copytree(PUBLISHED, tmp_path / "published")
    monkeypatch.setattr(folders, "FIGURES", tmp_path)
    monkeypatch.setattr(folders, "PUBLISHED", tmp_path / "published")
    return tmp_path


def test_every_notebook_has_its_line_and_every_link_leads_somewhere():
    lines = index().splitlines()[2:]
    links = [dict(LINK.findall(one)) for one in lines]
    names = [next(iter(one)) for one in links]
    assert len(set(names)) == len(names) and set(names) == {*ITEMS, *BEYOND}
    assert all((ROOT / "notebooks" / target).is_file() for one in links for target in one.values())
    committed = {page.stem for page in POCKET.glob("*.html")}
    assert committed and {name for name, one in zip(names, links) if "published" in one} == committed
    own = folders.results_folder("pocket")
    here = {name for name in names if computed(name, own).exists()}
    assert {name for name, one in zip(names, lines) if "not yet" in one} == {*names} - committed - here


def test_a_published_line_says_what_its_files_do():
    claims = pd.read_csv(POCKET / "claims.csv", dtype=str).set_index("id").verdict
    claims = claims[claims.index.str.fullmatch(r"3\.\d+")]
    table = pd.read_csv(POCKET / "table3.csv").query("method == 'AdvUnlearn' and metric == 'asr'")
    low, high = table.reproduced.min(), table.reproduced.max()
    paper = f"{table.reported.min():.1f} to {table.reported.max():.1f}"
    said = f"AdvUnlearn: ASR {low:.1f} to {high:.1f} % (paper: {paper} %)"
    found = line("table3", "pocket")
    assert found["main result"] == f"{sum(claims == 'holds')} of {len(claims)} claims hold; {said}"
    assert found["when"] in (POCKET / "table3.md").read_text() and found["when"].startswith("commit ")
    assert line("figure2", "pocket")["main result"] == "pictures of the models of Table 5"


def test_what_is_computed_here_comes_first(figures):
    own = figures / "pocket"
    own.mkdir()
    for suffix in ("html", "json"):
        shutil.copyfile(POCKET / f"table5.{suffix}", own / f"table5.{suffix}")
    numbers = json.loads((own / "table5.json").read_text())
    for cell in numbers["cells"]:
        cell["reproduced"] = 12.34
    (own / "table5.json").write_text(json.dumps(numbers))
    hour = time.mktime((2026, 2, 3, 4, 5, 0, 0, 0, -1))
    os.utime(own / "table5.html", (hour, hour))
    found = line("table5", "pocket")
    assert [name for name, _ in LINK.findall(found["state"])] == ["computed", "published"]
    assert found["when"] == "2026-02-03 04:05"
    assert found["main result"] == "AdvUnlearn: ASR 12.3 % (paper: 21.1 %)"  # no claims were judged here
    shutil.rmtree(figures / "published")
    assert line("table7", "pocket") | {"about": ""} == {
        "notebook": "[table7](table7.ipynb)", "about": "", "state": "not yet", "when": "", "main result": "",
    }  # fmt: skip


def test_what_was_run_in_jupyterlab_left_pictures_alone_and_is_computed(figures):
    own = figures / "pocket"
    own.mkdir()
    for age, step in enumerate(("4-robustify", "1-draw")):
        (own / f"00_tour-{step}.png").touch()
        os.utime(own / f"00_tour-{step}.png", (1e9 - age, 1e9 - age))
    found = line("00_tour", "pocket")
    (state, target), *_ = LINK.findall(found["state"])
    assert state == "computed" and target.endswith("pocket/00_tour-4-robustify.png")
    assert found["when"].startswith("2001-09-0")


def test_the_index_is_there_at_once():
    code = "import sys; from advunlearn_lib.report.index import index; index(); print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "False\n"


def test_the_index_notebook_shows_it():
    notebook = nbformat.read(ROOT / "notebooks" / "index.ipynb", as_version=4)
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
    (shown,) = notebook.cells[-1].outputs
    assert shown.data["text/markdown"] == index()


@pytest.fixture
def called(monkeypatch):
    """The commands that ``lab`` would run, the last in its own place; each ends with code 0."""
    commands = []

    def become(program, command):
        commands.append(command)
        raise SystemExit(0)

    monkeypatch.setattr(lab.subprocess, "call", lambda command: commands.append(command) or 0)
    monkeypatch.setattr(lab.os, "execv", become)
    return commands


def test_jupyterlab_is_installed_when_it_is_first_asked_for(called, monkeypatch, capsys):
    monkeypatch.setattr(lab, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        main(["lab", "--port", "8899", "--no-browser"])
    (*pip, lock), (*start, last) = called
    assert pip[:4] == [sys.executable, "-m", "pip", "install"] and lock == str(ROOT / "requirements-lab.lock")
    assert start[:3] == [sys.executable, "-m", "jupyterlab"] and "--ServerApp.port=8899" in start
    assert last == "--no-browser" and "installing JupyterLab" in capsys.readouterr().err


def test_jupyterlab_that_is_there_is_opened(called, monkeypatch):
    monkeypatch.setattr(lab, "find_spec", lambda name: name)
    with pytest.raises(SystemExit):
        main(["lab"])
    ((*start,),) = called
    assert start[1:3] == ["-m", "jupyterlab"] and not [
        word for word in start if "port" in word or "browser" in word
    ]


def test_what_pip_cannot_install_and_where_there_are_no_notebooks_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(lab, "find_spec", lambda name: None)
    monkeypatch.setattr(lab.subprocess, "call", lambda command: 1)
    assert main(["lab"]) == 2
    assert (
        capsys.readouterr().err.splitlines()[-1].startswith("error: pip could not install requirements-lab")
    )
    monkeypatch.setattr(lab, "LOCK", tmp_path / "requirements-lab.lock")
    assert main(["lab"]) == 2
    assert (
        capsys.readouterr().err
        == "error: lab needs a clone of the repository: its notebooks are not installed\n"
    )
