"""A command line again, in several processes of ``accelerate launch``, a GPU each where there are some."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import torch

OPTIONS = ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--multi_gpu")


def launch(processes: int, module: str, arguments: Sequence[str]) -> int:
    """Run ``python -m module arguments`` in ``processes`` processes and return the exit code."""
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--num_processes",
        str(processes),
        *OPTIONS,
    ]
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        threads = max(1, (os.cpu_count() or 1) // processes)
        environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": str(threads)}
    return subprocess.call([*command, "--module", module, *arguments], env=environment)
