"""Notebooks, executed on a store of made-up results: files, pictures, pages, and the same again.

One of each code, in one kernel, emptied between them; the slow tests give all of them a kernel of their
own, as users do.
"""

import json
import os
from functools import partial

import numpy as np
import pandas as pd
import papermill
import pytest
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.report import notebook as papermilled
from advunlearn_lib.report.items import BEYOND, ITEMS, TABLES
from advunlearn_lib.report.prompts import panels_of
from advunlearn_lib.report.reported import reported
from advunlearn_lib.report.show import AXES
from advunlearn_lib.report.tables import COLUMNS

NAMES = (*ITEMS, *BEYOND)


def code_of(name):
    """A notebook's code, but for its own name."""
    lines = (ROOT / "notebooks" / f"{name}.py").read_text().replace(name, "NAME").splitlines()
    return "\n".join(line for line in lines if line and not line.startswith("#"))


DIFFERENT = list({code_of(name): name for name in reversed(NAMES)}.values())[::-1]  # the first of each code
OWN = {  # pictures besides panels and dots
    "table3": ("-training",),
    "table4": ("-steps",),
    **dict.fromkeys(("table5", "table6", "table7", "tableA1", "tableA2", "figure7"), ("-cost",)),
    "table8": ("-agreement",),
    "tableA3": ("-moved",),
    "tableA4": ("-training",),
    "tableA5": ("-attacks",),
    "figure2": ("", "-front"),
    **dict.fromkeys(("figure3", "figure4", "figure5", "figure6", "figureA1", "figureA2"), ("-drift",)),
    "figure8": ("-layers",),
    "figureA3": ("-moved",),
    "00_tour": ("-1-draw", "-2-erase", "-3-attack", "-4-robustify"),
    "deviations": ("-lambda", "-differences"),
    **dict.fromkeys(BEYOND[2:], ("",)),
    "beyond_attack_cost": ("", "-category"),
    "beyond_oracle": ("", "-training"),
}
KEPT = {  # tables of no item
    "deviations": ("", "-differences"),
    "beyond_calibration": ("", "-pairs"),
    "beyond_attack_cost": ("", "-category"),
    **dict.fromkeys(("beyond_neighbours", "beyond_settings"), ("",)),
    "beyond_oracle": ("", "-instead-church", "-instead-nudity", "-quality"),
}
QUICK = "QUICK RUN, numbers mean nothing"


@pytest.fixture(scope="module")
def environment(quick_store):
    """A kernel's: the store, and what :func:`execute` sets, put back at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVUNLEARN_STORE", str(quick_store))
        patch.setenv("ADVUNLEARN_PROGRESS", "lines")
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture(scope="module")
def kernel(environment):
    """A kernel for all notebooks, which imports the libraries once."""
    manager = AsyncKernelManager(kernel_name="python3")
    run_sync(manager.start_kernel)(env=dict(os.environ), cwd=ROOT / "notebooks")
    yield manager
    run_sync(manager.shutdown_kernel)(now=True)


@pytest.fixture
def one_kernel(kernel, monkeypatch):
    """papermill takes the kernel that is there; no name in it is left of the notebook before."""
    NotebookClient(new_notebook(cells=[new_code_cell("%reset_selective -f .")]), kernel).execute()
    monkeypatch.setattr(papermill, "execute_notebook", partial(papermill.execute_notebook, km=kernel))


def execute(name, out):
    """In this process."""
    papermilled.execute(name, {"quick": True, "out": str(out)})


def expected_files(name):
    """An item's files: its table, its pictures, their page; of a notebook beyond the paper what it keeps."""
    texts = ("csv", "json", "md", "tex") if name in TABLES else ()
    files = {f"{name}.{suffix}" for suffix in ("ipynb", "html", *texts)}
    files |= {f"{name}{part}.{suffix}" for part in KEPT.get(name, ()) for suffix in ("csv", "md")}
    files -= {"beyond_calibration-pairs.md"}  # hundreds of lines
    return files | {f"{picture}.{suffix}" for picture in expected_pictures(name) for suffix in ("png", "pdf")}


def expected_pictures(name):
    """The panels, the table's dots, and the notebook's own analysis."""
    own = {f"{name}{suffix}" for suffix in OWN.get(name, ())}
    dots = {f"{name}-dots"} if name.startswith("table") or name == "figure2" else set()
    panels = {f"{name}{panel.suffix}" for panel in panels_of(name) if name in ITEMS}
    if name in AXES:  # the paper's own figure, and the panel beside it
        panels |= {f"{name}-pictures"}
    return own | dots | panels


def check_pictures(folder):
    for file in folder.glob("*.png"):
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
            assert image.info["Description"].startswith(f"{QUICK}; profile pocket")
        assert min(pixels.shape[:2]) > 150 and len(np.unique(pixels)) > 50


def check_table(folder, name):
    """Every number of the paper, in its place, with an interval."""
    numbers = reported(TABLES[name])
    frame = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, dtype={"table": str})
    assert tuple(frame.columns) == COLUMNS and frame.reported.tolist() == [one.value for one in numbers]
    places = frame[["concept", "method", "component", "variant", "attack", "metric"]]
    assert [*places.itertuples(index=False, name=None)] == [
        (*one.cell.row, one.cell.attack, one.cell.metric) for one in numbers
    ]
    assert ((frame.low <= frame.reproduced) & (frame.reproduced <= frame.high)).all()
    assert len(json.loads((folder / f"{name}.json").read_text())["cells"]) == len(numbers)


def check(name, folder, said):
    """All of an item's files are there, and say what they should."""
    assert {path.name for path in folder.iterdir()} == expected_files(name)
    page = (folder / f"{name}.html").read_text()
    notebook = (folder / f"{name}.ipynb").read_text()
    for text in (page, notebook):
        assert "Traceback" not in text and QUICK in text and str(ROOT) not in text and "stderr" not in text
    check_pictures(folder)
    assert "damaged" not in said
    if name in ITEMS:
        assert "written to " in said and f"{name}.html" in said
    if name in TABLES:
        check_table(folder, name)


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_notebook_leaves_all_its_files(one_kernel, quick_store, name, tmp_path, capfd):
    cells = results(quick_store)
    execute(name, tmp_path)
    check(name, tmp_path, capfd.readouterr().out)
    assert results(quick_store) == cells  # none was computed


def results(store):
    """The results in a store, with their times, and what is left half done."""
    kinds = ("erase", "attack", "quality")
    found = (path for kind in kinds for path in store.glob(f"pocket/{kind}-*"))
    return {path.name: path.stat().st_mtime_ns for path in found}


def test_the_same_again(one_kernel, tmp_path):
    for run in ("first", "second"):
        execute("table5", tmp_path / run)
    first, second = (tmp_path / run / "table5.csv" for run in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_in_a_kernel_of_its_own(environment, name, tmp_path, capfd):
    execute(name, tmp_path)
    check(name, tmp_path, capfd.readouterr().out)
