"""Run a notebook headless with papermill in a fresh kernel, and keep it as notebook and HTML.

Its progress is shown on the terminal. ``python -m advunlearn_lib.report.notebook NAME PARAMETERS`` does it in
a process of its own; PARAMETERS are JSON.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.paths import CODE, ROOT
from advunlearn_lib.base.progress import style_here
from advunlearn_lib.report.page import to_html

QUIET = ["--log-level=50"]  # the kernel's own notices, such as that it talks by TCP, are no reader's


def execute(name: str, parameters: dict[str, Any]) -> None:
    """Execute ``notebooks/<name>.py``; ``<name>.ipynb`` and ``.html`` go to the folder ``parameters["out"]``.

    Raises :class:`UserError` and ``KeyboardInterrupt`` where the kernel did.
    """
    os.environ.setdefault("ADVUNLEARN_PROGRESS", style_here())
    os.environ["PYTHONPATH"] = os.pathsep.join([str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])])
    logging.getLogger("papermill").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it prints tracebacks after Ctrl-C
    script = ROOT / "notebooks" / f"{name}.py"
    if not script.exists():
        raise UserError(f"{name} needs a clone of the repository: no {script}")
    notebook = jupytext.read(script)
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    with tempfile.TemporaryDirectory() as folder:
        source, done = Path(folder) / f"{name}.ipynb", Path(folder) / f"{name}-executed.ipynb"
        nbformat.write(notebook, source)
        streams = {"stdout_file": sys.stdout, "stderr_file": sys.stderr, "extra_arguments": QUIET}
        try:
            papermill.execute_notebook(
                source, done, parameters, cwd=ROOT / "notebooks", progress_bar=False, **streams
            )
        except papermill.PapermillExecutionError as error:
            if error.ename == "UserError":
                raise UserError(error.evalue) from None
            if error.ename in ("KeyboardInterrupt", "Interrupted"):
                raise KeyboardInterrupt from None
            raise
        executed = cleaned(nbformat.read(done, as_version=4))
    for suffix, text in {"ipynb": nbformat.writes(executed), "html": to_html(executed)}.items():
        with atomic(Path(parameters["out"]) / f"{name}.{suffix}") as temporary:
            temporary.write_text(text.replace(f"{ROOT}/", ""))  # no machine's paths


def cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An executed notebook to be read: without progress and notices, times, and what papermill notes."""
    notebook.metadata = {name: notebook.metadata[name] for name in ("kernelspec", "language_info")}
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def main(name: str, parameters: str) -> int:
    """:func:`execute`; bad input is one line and exit code 2."""
    try:
        execute(name, json.loads(parameters))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
