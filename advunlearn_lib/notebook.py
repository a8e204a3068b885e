"""Run a notebook headless with papermill in a fresh kernel, its progress on the terminal, and keep it as HTML."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
import papermill
from nbconvert import HTMLExporter

from advunlearn_lib.errors import UserError
from advunlearn_lib.files import atomic
from advunlearn_lib.store import ROOT


def execute(name: str, profile: str, overrides: list[str], quick: bool, seeds: int, out: Path) -> int:
    """Execute ``notebooks/<name>.py`` and leave ``<name>.html`` in ``out``."""
    os.environ["ADVUNLEARN_PLAIN_PROGRESS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    logging.getLogger("papermill").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # after Ctrl-C it would print the cell's traceback
    notebook = jupytext.read(ROOT / "notebooks" / f"{name}.py")
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    parameters = {"profile": profile, "overrides": overrides, "quick": quick, "seeds": seeds, "out": str(out)}
    with tempfile.TemporaryDirectory() as folder:
        source, done = Path(folder) / f"{name}.ipynb", Path(folder) / "executed.ipynb"
        nbformat.write(notebook, source)
        try:
            papermill.execute_notebook(
                source, done, parameters, cwd=ROOT / "notebooks", progress_bar=False, stdout_file=sys.stdout, stderr_file=sys.stderr
            )
        except papermill.PapermillExecutionError as error:
            if error.ename == "UserError":
                raise UserError(error.evalue) from None
            if error.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt from None
            raise
        html, _ = HTMLExporter(exclude_input_prompt=True).from_filename(str(done))
    with atomic(out / f"{name}.html") as temporary:
        temporary.write_text(html.replace(f"{ROOT}/", ""))  # no machine's paths
    return 0
