"""Compute cells by several processes or by Ray; the usual way then finds them in the store."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.cli.runs import is_launched
from advunlearn_lib.execute.launch import launch
from advunlearn_lib.execute.plan import Job, plan, share_of
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.execute.preflight import preflight
from advunlearn_lib.execute.ray import compute_with_ray
from advunlearn_lib.report.item import Results, Run
from advunlearn_lib.report.reported import jobs_of


def item(options: Namespace, parameters: dict[str, Any]) -> int:
    """The cells of one item."""
    run = Run(**parameters)
    jobs = jobs_of(run.studies, Results(options.command, run).source)
    return share(options, jobs, run) if options.share else cells(options, jobs, run)


def share(options: Namespace, jobs: list[Job], run: Run) -> int:
    """The part of ``jobs`` that ``--share`` names; tables and notebooks are a later run's."""
    if options.processes > 1 or options.executor != "local":
        raise UserError("--share is computed here: it cannot be combined with --processes or --executor")
    part, parts = options.share
    mine = share_of(jobs, part, parts)
    compute(mine, run.study.store, f"{options.command}, share {part} of {parts}")
    numbers = f"{len(mine)} of {len(jobs)} numbers"
    print(f"{options.command}: share {part} of {parts}, {numbers}, is in {run.study.store.root}")
    return 0


def cells(options: Namespace, jobs: list[Job], run: Run) -> int:
    """``jobs``, as the options say; the exit code."""
    store = run.study.store
    if options.executor != "local":
        compute_with_ray(jobs, store, options.executor)
        return 0
    if not is_launched():
        todo = plan(jobs, store)
        if not todo:
            return 0
        preflight(todo, store)
        return launch(options.processes, "advunlearn_lib.cli", options.words)
    compute(jobs, store, options.command)
    return 0
