"""``all``: every item, and which claims hold."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib.cli import precompute
from advunlearn_lib.cli.runs import is_launched, open_run, uses_other_processes
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.run_all import all_jobs, run_all


def run(options: Namespace) -> int:
    """Compute all cells, execute all notebooks, judge the claims."""
    parameters = open_run(options)
    begun = Run(**parameters)
    if options.share:
        return precompute.share(options, all_jobs(begun), begun)
    if uses_other_processes(options):
        code = precompute.cells(options, all_jobs(begun), begun)
        if code or is_launched():
            return code
    run_all(begun, parameters)
    return 0
