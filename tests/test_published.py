"""Published pages are what the notebooks of now would leave: their code cell by cell, no notice, small."""

import re
import subprocess
from html import unescape

import jupytext
import nbformat
import pytest

from advunlearn_lib.base.paths import PUBLISHED, ROOT

PAGES = sorted(PUBLISHED.rglob("*.ipynb"))
MOST = 60e6  # bytes of all tracked files


def source_cells(name, kind):
    return [c.source for c in jupytext.read(ROOT / "notebooks" / f"{name}.py").cells if c.cell_type == kind]


def test_there_are_pages_and_each_is_there_twice():
    assert PAGES and {page.with_suffix(".html") for page in PAGES} == set(PUBLISHED.rglob("*.html"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_published_notebook_is_its_source_executed(page):
    notebook = nbformat.read(page, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.metadata.get("tags") != ["injected-parameters"]]
    for kind in ("code", "markdown"):
        assert [cell.source for cell in cells if cell.cell_type == kind] == source_cells(page.stem, kind)
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs and not [one for one in outputs if one.get("name") == "stderr" or "ename" in one]
    assert not re.search(r"Warning\b|/home/|/tmp/|/work/", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_published_page_folds_the_same_code(page):
    text = page.with_suffix(".html").read_text()
    blocks = re.findall(r"<details>.*?<pre>(.*?)</pre>.*?</details>", text, re.DOTALL)
    shown = [unescape(re.sub(r"<[^>]*>", "", block)).strip() for block in blocks]
    cells = jupytext.read(ROOT / "notebooks" / f"{page.stem}.py").cells
    assert shown == [c.source for c in cells if c.cell_type == "code" and not c.metadata.get("tags")]


def test_tracked_files_stay_small():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert sum(file.stat().st_size for file in files if file.exists()) < MOST
    assert max(page.stat().st_size for page in PAGES) < 4e5
