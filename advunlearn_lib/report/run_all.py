"""``./reproduce.sh all`` and ``./reproduce.sh claims``.

The plan, all cells at once, every notebook, one verdict.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.execute.plan import Job, describe_plan, plan
from advunlearn_lib.execute.pool import compute, workers
from advunlearn_lib.report import claims, notebook, outcomes
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.items import ITEMS, TABLES
from advunlearn_lib.report.reported import jobs_of, read_results, reported, reproduce

MAIN_TABLES = ("5", "6", "7")  # their models also under random tokens: what luck alone finds


def all_jobs(run: Run) -> list[Job]:
    """Every cell of every table, for every seed."""
    jobs = [job for table in TABLES.values() for job in jobs_of(run.studies, table)]
    attacked = [
        number.cell for table in MAIN_TABLES for number in reported(table) if number.cell.metric == "asr"
    ]
    luck = [cell._replace(attack="random") for cell in attacked]
    return jobs + [Job(study.profile, study.protocol.cell(cell)) for study in run.studies for cell in luck]


def run_all(run: Run, parameters: Mapping[str, Any]) -> None:
    """Compute everything, then execute each item's notebook with ``parameters``, then judge the claims.

    Raises :class:`UserError` where a notebook failed, after all others are done.
    """
    jobs = all_jobs(run)
    print(describe_plan(jobs, run.study.store), flush=True)
    compute(jobs, run.study.store, "all cells")
    failed = execute_notebooks(parameters)
    outcomes.write(run, list(TABLES))
    report_claims(run)
    if failed:
        raise UserError(f"{len(failed)} of {len(ITEMS)} notebooks failed; " + "; ".join(failed))


def execute_notebooks(parameters: Mapping[str, Any]) -> list[str]:
    """All notebooks, one a core at once, each in a kernel of its own; a line for each that failed."""
    reasons = {}
    with workers(os.cpu_count() or 1, notebook.one_thread_each) as pool:
        futures = {pool.submit(notebook.attempt, name, dict(parameters)): name for name in ITEMS}
        for future in tqdm(as_completed(futures), total=len(ITEMS), desc="notebooks"):
            ended = future.exception()  # with its worker, for want of memory say
            reasons[futures[future]] = str(ended) if ended else future.result()
    return [f"{name}: {reasons[name]}" for name in ITEMS if reasons[name]]


def tables_at_hand(run: Run) -> list[str]:
    """The tables of which nothing is left to compute. Raises :class:`UserError` where there is none."""
    store = run.study.store
    tables = [table for table in TABLES.values() if not plan(jobs_of(run.studies, table), store)]
    if not tables:
        raise UserError(f"the store {store.root} has no complete table yet: first run one, such as table3")
    return tables


def report_claims(run: Run, numbers: Path | None = None, computed: bool = False) -> None:
    """Judge every claim, write the page, print the verdicts.

    ``numbers``: a folder of tables of an earlier run, whose intervals alone decide. ``computed``: the tables
    that the store holds whole. With either nothing is computed. Raises :class:`UserError` where it has none.
    """
    if numbers is not None:
        results, stamp = read_results(numbers)
        judged = claims.judge(results)
    else:
        tables = tables_at_hand(run) if computed else list(TABLES.values())
        results, stamp = [r for table in tables for r in reproduce(run.studies, table)], run.stamp
        judged = claims.judge(results, run.studies)
    found = claims.explanations(run.profile) if len(run.studies) == 1 else ""  # of the plain run
    claims.write(judged, run.folder, stamp, found)
    print(f"{claims.lines(judged)}\n\n{claims.count(judged)}\n{stamp}")
    print(f"written to {run.folder}: claims.csv, claims.md")
