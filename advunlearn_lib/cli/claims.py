"""``claims``: the claims alone."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.cli.runs import open_run
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.run_all import report_claims


def run(options: Namespace) -> int:
    """Judge every claim, of what is computed or of an earlier run."""
    if options.numbers is not None and not options.numbers.is_dir():
        raise UserError(f"--numbers takes a folder of tables, not {str(options.numbers)!r}")
    report_claims(Run(**open_run(options)), options.numbers, options.computed)
    return 0
