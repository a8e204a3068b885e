"""A worker ends with the process that started it, also where that one is killed."""

import os
import signal
import subprocess
import sys

from advunlearn_lib.base.orphans import end_with_parent
from advunlearn_lib.base.paths import ROOT

PARENT = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from advunlearn_lib.base.orphans import end_with_parent
pool = ProcessPoolExecutor(1, get_context("spawn"), end_with_parent)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(time.sleep, 600).result()
"""


def test_a_worker_ends_with_its_killed_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    try:
        parent.communicate(timeout=20)  # until nobody holds its output any more
    except subprocess.TimeoutExpired:
        os.kill(worker, signal.SIGKILL)
        raise


def test_a_process_that_nobody_spawned_goes_on():
    end_with_parent()
