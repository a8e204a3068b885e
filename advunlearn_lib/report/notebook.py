"""Run a notebook headless with papermill in a fresh kernel, and keep it as notebook and HTML.

Its progress is shown on the terminal.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.orphans import end_with_parent
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.report import kernels

if TYPE_CHECKING:
    from nbformat import NotebookNode

QUIET = ["--log-level=50"]  # the kernel's own notices, such as that it talks by TCP, are no reader's


def execute(name: str, parameters: dict[str, Any]) -> None:
    """Execute ``notebooks/<name>.py``; ``<name>.ipynb`` and ``.html`` go to the folder ``parameters["out"]``.

    Raises :class:`UserError` and ``KeyboardInterrupt`` where the kernel did.
    """
    kernels.begin()  # to import for the kernel, while we do for ourselves
    import jupytext
    import nbformat
    import papermill

    from advunlearn_lib.report.page import to_html

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
        streams = {"stdout_file": sys.stdout, "stderr_file": sys.stderr}
        kernel = {"kernel_manager_class": kernels.manager(), "extra_arguments": QUIET}
        try:
            papermill.execute_notebook(
                source, done, parameters, cwd=ROOT / "notebooks", progress_bar=False, **streams, **kernel
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


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """An executed notebook to be read: without progress and notices, times, and what papermill notes."""
    notebook.metadata = {name: notebook.metadata[name] for name in ("kernelspec", "language_info")}
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata.tags} if cell.metadata.get("tags") else {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def attempt(name: str, parameters: dict[str, Any]) -> str:
    """:func:`execute` without a word; in a line why it failed, if it did."""
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            execute(name, parameters)
    except UserError as error:
        return str(error)
    except Exception as error:  # others may work
        return (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return ""


def one_thread_each() -> None:
    """First in a process beside others: more threads would wait. OMP_NUM_THREADS may say otherwise."""
    end_with_parent()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
