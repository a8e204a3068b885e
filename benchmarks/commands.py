"""What the benchmark times of the command line: starting up, and Table 3 from the store."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT, store_root
from advunlearn_lib.base.store import Store
from advunlearn_lib.execute.plan import left_of
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report.items import TABLES
from advunlearn_lib.report.reported import jobs_of
from benchmarks.jobs import PRECISIONS

COMMAND_LINE = ("-m", "advunlearn_lib.cli")


@dataclass(frozen=True)
class Timed:
    """A process: its ``words`` go to Python; ``goal``: seconds that were aimed at, 0 for none.

    ``note``: why it is not run, if it is not.
    """

    name: str
    work: str
    words: tuple[str, ...]
    goal: float = 0
    note: str = ""

    def seconds(self) -> float:
        """Run it, and say how long that took. Raises :class:`UserError` where it fails."""
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, *(word.replace("OUT", folder) for word in self.words)]
            began = time.perf_counter()
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
            ended = time.perf_counter()
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            raise UserError(f"{self.name} failed: {last}")
        return ended - began


def commands() -> Iterator[Timed]:
    """All of them; Table 3 as its command makes it, notebook and page included."""
    yield Timed("import advunlearn_lib", "a new process", ("-c", "import advunlearn_lib"), 0.3)
    yield Timed("--help", "a new process", (*COMMAND_LINE, "--help"), 0.5)
    yield Timed("list", "a new process", (*COMMAND_LINE, "list"), 1)
    yield Timed("list methods", "a new process, torch too", (*COMMAND_LINE, "list", "methods"))
    store = Store(store_root("pocket"))
    missing = left_of(jobs_of([Study(POCKET, store)], TABLES["table3"]), store)
    note = (
        f"not measured: the store lacks {len(missing)} of its cells (./reproduce.sh table3)"
        if missing
        else ""
    )
    yield Timed("table3", "all cells in the store", (*COMMAND_LINE, "table3", "--out", "OUT"), note=note)
    if "bf16" not in PRECISIONS:
        note = "not measured: this processor has no instructions for it"
        yield Timed("picture_precision=bf16", "UnlearnDiffAtk and pictures", (), note=note)
