"""``table3``, ``figure2``, ...: compute an item's cells where asked to, then execute its notebook."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module

from advunlearn_lib import report  # imports what is asked for: a warm table needs no torch here
from advunlearn_lib.cli.runs import is_launched, open_run, uses_other_processes
from advunlearn_lib.report.notebook import execute


def run(options: Namespace) -> int:
    """The item's notebook, executed, and its files."""
    parameters = open_run(options)
    if uses_other_processes(options):
        code: int = import_module("advunlearn_lib.cli.precompute").item(options, parameters)
        if code or options.share or is_launched():
            return code
    execute(options.command, parameters)
    if options.publish:
        report.outcomes.write(report.Run(**parameters), [options.command])
    return 0
