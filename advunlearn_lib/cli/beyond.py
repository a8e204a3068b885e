"""``deviations``, ``00_tour``: notebooks that are no item of the paper."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module

from advunlearn_lib.cli.runs import open_run
from advunlearn_lib.report import kernels


def run(options: Namespace) -> int:
    """Execute the notebook."""
    parameters = open_run(options)
    kernels.begin()  # to import, while we do
    import_module("advunlearn_lib.report.notebook").execute(options.command, parameters)
    return 0
