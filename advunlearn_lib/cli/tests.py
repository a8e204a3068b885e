"""``test``: pytest on the tests of this project."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace

from advunlearn_lib.base.paths import ROOT

MOST_PROCESSES = 4  # each loads the libraries and the model anew


def run(options: Namespace) -> int:
    """Whole files, shared out among a process a core; options other than --all go to pytest."""
    chosen = [] if options.all else ["-m", "not slow"]
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    shared = ["-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]
    # the last word counts: -n 0, -m slow
    return subprocess.call([sys.executable, "-m", "pytest", *shared, *chosen, *options.rest], cwd=ROOT)
