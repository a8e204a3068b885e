"""All notebooks, executed on a store of made-up results: files, pictures, pages, and the same again."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from made_up import fill_store
from PIL import Image

from advunlearn_lib.base.paths import PUBLISHED, ROOT
from advunlearn_lib.paper.items import BEYOND, ITEMS, TABLES
from advunlearn_lib.paper.reported import reported
from advunlearn_lib.paper.tables import COLUMNS

NAMES = (*ITEMS, *BEYOND)
AGAIN = "table5"  # executed twice


def execute(environment, out, name):
    """A notebook in a process of its own, its results in a folder of its own."""
    parameters = {"quick": True, "out": str(out / name)}
    command = [sys.executable, "-m", "advunlearn_lib.paper.notebook", name, json.dumps(parameters)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """(folder of results, what each notebook's process said), two processes at a time."""
    root = tmp_path_factory.mktemp("notebooks")
    fill_store(root / "store")
    environment = os.environ | {"ADVUNLEARN_STORE": str(root / "store"), "OMP_NUM_THREADS": "1"}
    with ThreadPoolExecutor(2) as pool:
        done = dict(zip(NAMES, pool.map(partial(execute, environment, root / "out"), NAMES)))
        done["again"] = pool.submit(execute, environment, root / "again", AGAIN).result()
    return root, done


def expected_files(name):
    """An item's published files; of a notebook beyond the paper a table, a figure and its page."""
    if name in BEYOND:
        return {f"{name}.{suffix}" for suffix in ("csv", "md", "html")} | {f"{name}-lambda.png"}
    files = [path.name for path in PUBLISHED.glob("pocket/*")]
    return {file for file in files if file.startswith((f"{name}.", f"{name}-"))}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_leaves_all_its_files(executed, name):
    root, done = executed
    assert done[name].returncode == 0, done[name].stderr[-2000:]
    folder = root / "out" / name
    made = {path.name for path in folder.iterdir()}
    assert made == expected_files(name)
    page = (folder / f"{name}.html").read_text()
    assert "Traceback" not in page and "QUICK RUN, numbers mean nothing" in page and str(ROOT) not in page
    for file in folder.glob("*.png"):
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
            assert image.info["Description"].startswith("QUICK RUN, numbers mean nothing; profile pocket")
        assert min(pixels.shape[:2]) > 150 and len(np.unique(pixels)) > 50
    if name in ITEMS:
        assert "written to " in done[name].stdout and f"{name}.html" in done[name].stdout


@pytest.mark.parametrize("name", TABLES)
def test_a_table_holds_every_number_of_the_paper(executed, name):
    folder, numbers = executed[0] / "out" / name, reported(TABLES[name])
    frame = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, dtype={"table": str})
    assert tuple(frame.columns) == COLUMNS and frame.reported.tolist() == [one.value for one in numbers]
    places = frame[["concept", "method", "component", "variant", "attack", "metric"]]
    assert [*places.itertuples(index=False, name=None)] == [
        (*one.cell.row, one.cell.attack, one.cell.metric) for one in numbers
    ]
    assert ((frame.low <= frame.reproduced) & (frame.reproduced <= frame.high)).all()
    assert len(json.loads((folder / f"{name}.json").read_text())["cells"]) == len(numbers)


def test_the_same_again(executed):
    root, done = executed
    assert done["again"].returncode == 0, done["again"].stderr[-2000:]
    first, second = (root / run / AGAIN / f"{AGAIN}.csv" for run in ("out", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_nothing_was_computed(executed):
    """The made-up results were read, not made again: no cell was left half done."""
    assert not [*(executed[0] / "store").glob("pocket/*.partial")]
    assert not [text for text in executed[1].values() if "damaged" in text.stdout]
