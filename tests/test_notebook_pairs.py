"""Each notebook is its script, cell by cell, without outputs; and says what holds for every profile."""

import re

import jupytext
import nbformat
import pytest
from ipykernel.kernelspec import KERNEL_NAME, get_kernel_dict
from jupytext.combine import combine_inputs_with_outputs
from jupytext.jupytext import drop_text_representation_metadata
from nbformat.v4 import new_code_cell, new_notebook, new_output

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.cli.commands import COMMANDS
from advunlearn_lib.cli.lab import steady
from advunlearn_lib.report.items import ITEMS

FOLDER = ROOT / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
STAND_IN = re.compile(r"\bweapons?\b", re.IGNORECASE)


def plain_cells(notebook):
    """Type, source and tags of each cell."""
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


def test_every_item_has_its_pair_and_every_notebook_is_a_command():
    pairs = {f"{name}.{suffix}" for name in NAMES for suffix in ("py", "ipynb")}
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == pairs
    assert set(ITEMS) <= set(NAMES) <= {*COMMANDS, "index"}  # the index of them all computes nothing


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_its_script(name):
    script = jupytext.read(FOLDER / f"{name}.py")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert plain_cells(notebook) == plain_cells(script) and len(script.cells) >= (5 if name == "index" else 8)
    assert notebook.metadata.jupytext.formats == "ipynb,py:percent"
    assert notebook.metadata.kernelspec == script.metadata.kernelspec
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count is not None]


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_takes_the_parameters_that_the_command_line_gives(name):
    """papermill puts them after the one cell tagged so; another cell would be silently ignored."""
    cells = plain_cells(jupytext.read(FOLDER / f"{name}.py"))
    (source,) = [source for _, source, tags in cells if tags == ["parameters"]]
    given = {}
    exec(source, given)
    given.pop("__builtins__")
    of_a_run = {"overrides": [], "quick": False, "seed": None, "seeds": 1, "out": ""}
    assert given == {"profile": "pocket"} | ({} if name == "index" else of_a_run)


@pytest.mark.parametrize("name", NAMES)
def test_the_pocket_profiles_stand_in_is_named_in_its_own_prompts_alone(name):
    """Under the paper profile the same notebook is of nudity; ``item.setting()`` names the stand-in."""
    for kind, source, _ in plain_cells(jupytext.read(FOLDER / f"{name}.py")):
        if kind == "markdown":
            assert not STAND_IN.search(source)
        else:
            assert not STAND_IN.search(re.sub(r"Prompt\([^)]*\)", "", source))


@pytest.mark.parametrize("name", NAMES)
def test_opened_and_saved_by_jupyterlab_it_is_the_same_bytes(name):
    """As the contents manager of Lab and jupytext does it: read both, tell the kernel, write both."""
    files = {suffix: (FOLDER / f"{name}.{suffix}").read_text() for suffix in ("py", "ipynb")}
    script = jupytext.reads(files["py"], fmt="py:percent")
    notebook = combine_inputs_with_outputs(script, nbformat.reads(files["ipynb"], as_version=4))
    kernel = get_kernel_dict()
    notebook.metadata.kernelspec = {
        "display_name": kernel["display_name"], "language": kernel["language"], "name": KERNEL_NAME,
    }  # fmt: skip
    notebook.metadata.language_info = {"name": "python", "version": "3.99.0", "mimetype": "text/x-python"}
    for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):  # run, too
        cell |= {"execution_count": number, "outputs": [new_output("stream", text="a number")]}
    model = {"type": "notebook", "content": notebook}
    steady(model=model, path=f"notebooks/{name}.ipynb", contents_manager=None)
    assert nbformat.writes(drop_text_representation_metadata(notebook)) + "\n" == files["ipynb"]
    assert jupytext.writes(notebook, fmt="py:percent") == files["py"]
    assert "jupytext_version: " not in files["py"]  # another version would write its own


def test_a_users_own_notebook_keeps_its_outputs():
    cell = new_code_cell("1", execution_count=7, outputs=[new_output("stream", text="1")])
    for path in ("mine.ipynb", "notebooks/mine.ipynb"):
        model = {"type": "notebook", "content": new_notebook(cells=[cell])}
        steady(model=model, path=path)
        assert model["content"].cells[0].outputs and model["content"].cells[0].execution_count == 7
