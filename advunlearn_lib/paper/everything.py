"""``./reproduce.sh all`` and ``./reproduce.sh claims``: the plan, all cells at once, every notebook, one verdict."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from advunlearn_lib.errors import UserError
from advunlearn_lib.names import ITEMS, TABLES
from advunlearn_lib.paper import cells, claims
from advunlearn_lib.paper.item import Item
from advunlearn_lib.parallel import Task, compute, needed
from advunlearn_lib.progress import tqdm
from advunlearn_lib.store import Store, sort_of

USUAL = {"erase": 60.0, "attack": 30.0, "quality": 60.0, "prompts": 10.0}  # seconds of a cell, until the store knows better
QUICK = {"erase": 5.0, "attack": 3.0, "quality": 5.0, "prompts": 2.0}


def all_tasks(item: Item) -> list[Task]:
    """Every cell of every table, for every seed of ``item``; the main tables' models also under random tokens."""
    profiles = [study.profile for study in item.studies]
    tasks = [task for table in TABLES.values() for task in cells.tasks(profiles, table)]
    luck = [(profile, cell._replace(attack="random")) for table in ("5", "6", "7") for profile, cell in cells.tasks(profiles, table)]
    return tasks + [(profile, cell) for profile, cell in luck if cell.metric == "asr"]


def show_plan(tasks: list[Task], store: Store) -> str:
    """``erase: 12 done, 60 to do`` and so on, with an estimate from what cells of the same sort took so far."""
    every, known = needed(tasks), store.seconds()
    left = [key for key, (_, recipe) in every.items() if store.read(key[0], recipe) is None]
    total, todo = (Counter(kind for kind, _ in keys) for keys in (every, left))
    seconds, usual = dict.fromkeys(total, 0.0), QUICK if tasks[0][0].quick else USUAL
    for kind, key in left:
        took = known.get(sort_of(kind, every[kind, key][1]))
        seconds[kind] += statistics.median(took) if took else usual[kind]
    minutes = sum(seconds.values()) / 60 / (os.cpu_count() or 1)
    lines = [
        f"  {kind:8} {total[kind] - todo[kind]:4} done, {todo[kind]:4} to do, {seconds[kind] / 60:.0f} minutes of a core" for kind in total
    ]
    return "\n".join(["plan", *lines, f"  about {minutes:.0f} minutes and the notebooks"])


def run_all(item: Item, arguments: list[str], folder: Path) -> int:
    """Compute everything, then run each item's notebook by the command line with ``arguments``, then judge the claims."""
    tasks = all_tasks(item)
    print(show_plan(tasks, item.study.store), flush=True)
    compute(tasks, item.study.store, "all cells")

    def notebook(name: str) -> tuple[str, subprocess.CompletedProcess[str]]:
        command = [sys.executable, "-m", "advunlearn_lib.cli", name, *arguments]
        return name, subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    failed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for future in tqdm(as_completed([pool.submit(notebook, name) for name in ITEMS]), total=len(ITEMS), desc="notebooks"):
            name, done = future.result()
            if done.returncode:
                failed.append(f"{name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    report_claims(item, folder)
    if failed:
        raise UserError(f"{len(failed)} of {len(ITEMS)} notebooks failed; " + "; ".join(failed))
    return 0


def report_claims(item: Item, folder: Path) -> int:
    """Judge every claim, write the page, print the verdicts."""
    records = [record for table in TABLES.values() for record in cells.reproduce(item.studies, table)]
    judged = claims.judge(records)
    claims.write(judged, folder, item.stamp, claims.why(item.settings))
    print(f"{claims.lines(judged)}\n\n{claims.count(judged)}\n{item.stamp}\nwritten: {folder}/claims.csv .md")
    return 0
