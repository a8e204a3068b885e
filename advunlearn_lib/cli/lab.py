"""``lab``: JupyterLab on the notebooks, beginning with their index; it is installed when first asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from importlib.util import find_spec
from typing import Any

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.report.items import BEYOND, ITEMS

LOCK = ROOT / "requirements-lab.lock"
START = "/lab/tree/notebooks/index.ipynb"
OWN = [f"notebooks/{name}.ipynb" for name in ("index", *ITEMS, *BEYOND)]


def run(options: Namespace) -> int:
    """Become JupyterLab, so that Ctrl-C and the exit code are its own."""
    if not LOCK.exists():
        raise UserError("lab needs a clone of the repository: its notebooks are not installed")
    if find_spec("jupyterlab") is None:
        print("installing JupyterLab (once; a minute)", file=sys.stderr)
        install()
    command = lab_command(options)
    os.execv(command[0], command)


def install() -> None:
    """What is locked beside requirements.lock, into the environment of this Python."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", str(LOCK)]
    if subprocess.call(pip):
        raise UserError(f"pip could not install {LOCK.name}; see above")


def lab_command(options: Namespace) -> list[str]:
    """The words that start it: the whole repository is served, so that links to results lead there."""
    settings = {
        "ServerApp.root_dir": ROOT,
        "LabApp.default_url": START,
        "FileContentsManager.pre_save_hook": f"{__name__}.{steady.__name__}",
    }
    if options.port:
        settings["ServerApp.port"] = options.port
    words = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in settings.items())]
    words += ["--allow-root"]  # in a container one is root
    return [*words, "--no-browser"] if options.no_browser else words


def steady(model: dict[str, Any], path: str = "", **_: object) -> None:
    """Before a notebook is saved: leave out the kernel's version, which opening it writes into it.

    Of the repository's own notebooks the outputs too, which autosave would write into a tracked file; what
    they made is in ``figures/``.
    """
    if model["type"] != "notebook":
        return
    model["content"]["metadata"].pop("language_info", None)
    if path.strip("/") in OWN:
        for cell in model["content"]["cells"]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
