"""``bench``: the library's whole jobs against the official way of working, in seconds."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import writable
from advunlearn_lib.report.folders import published_folder, results_folder
from benchmarks.bench import run_bench
from benchmarks.growth import run_growth
from benchmarks.long import run_long


def run(options: Namespace) -> int:
    """Measure both sides of all jobs or of one long training, or how seconds grow."""
    if options.publish and (options.quick or options.out):
        raise UserError("--publish sets the folder: it cannot be combined with --quick or --out")
    folder = options.out or results_folder("pocket", quick=options.quick)
    if options.publish:
        folder = published_folder("pocket")
    measure = run_growth if options.growth else run_long if options.long else run_bench
    measure(writable("output folder", folder.resolve() / "bench"), options.quick)
    return 0
