"""``deviations``, ``00_tour``: notebooks that are no item of the paper."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib.cli.runs import open_run
from advunlearn_lib.report.notebook import execute


def run(options: Namespace) -> int:
    """Execute the notebook."""
    execute(options.command, open_run(options))
    return 0
