"""Run a notebook headless with papermill in a fresh kernel, and keep it as HTML.

Its progress is shown on the terminal. ``python -m advunlearn_lib.paper.notebook NAME PARAMETERS`` does it in
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
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.paper.page import to_html


def execute(name: str, parameters: dict[str, Any]) -> None:
    """Execute ``notebooks/<name>.py`` and leave ``<name>.html`` in the folder ``parameters["out"]``.

    Raises :class:`UserError` and ``KeyboardInterrupt`` where the kernel did.
    """
    os.environ["ADVUNLEARN_PLAIN_PROGRESS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    logging.getLogger("papermill").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it prints tracebacks after Ctrl-C
    notebook = jupytext.read(ROOT / "notebooks" / f"{name}.py")
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    with tempfile.TemporaryDirectory() as folder:
        source, done = Path(folder) / f"{name}.ipynb", Path(folder) / f"{name}-executed.ipynb"
        nbformat.write(notebook, source)
        streams = {"stdout_file": sys.stdout, "stderr_file": sys.stderr}
        try:
            papermill.execute_notebook(
                source, done, parameters, cwd=ROOT / "notebooks", progress_bar=False, **streams
            )
        except papermill.PapermillExecutionError as error:
            if error.ename == "UserError":
                raise UserError(error.evalue) from None
            if error.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt from None
            raise
        html = to_html(nbformat.read(done, as_version=4))
    with atomic(Path(parameters["out"]) / f"{name}.html") as temporary:
        temporary.write_text(html.replace(f"{ROOT}/", ""))  # no machine's paths


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
