"""``./reproduce.sh bench``: whole jobs the official way and the library's, side by side in one run.

The two sides of a pair alternate; a ratio is the median of the repeats' own ratios, with the smallest and the
largest. A finished row is written at once, and is not measured again by the same commit on the same machine.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.metrics.estimate import proportion
from benchmarks.commands import Timed, commands
from benchmarks.floor import flops, matmul_rate
from benchmarks.jobs import QUICK, Pair, Sizes, pairs

Row = dict[str, Any]
COLUMNS = (
    *(
        "row",
        "work",
        "count",
        "unit",
        "repeats",
        "official_s",
        "ours_s",
        "ratio",
        "low",
        "high",
        "goal",
        "met",
    ),
    *("official_success", "ours_success", "gflop", "floor_s", "note", "load", "machine", "commit"),
)


def machine(threads: int | None = None) -> str:
    """The processor, its cores, the libraries, the threads: this process's, if none are given."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.processor() or platform.machine()
    python = ".".join(map(str, sys.version_info[:3]))
    used = f"threads: {threads or torch.get_num_threads()}"
    return f"{cpu}, {os.cpu_count()} cores, Python {python}, torch {torch.__version__}, {used}"


def run_bench(folder: Path, quick: bool = False) -> pd.DataFrame:
    """Measure what ``folder`` does not have yet, and write ``bench.csv`` and ``bench.md`` there."""
    sizes = QUICK if quick else Sizes()
    table = measured(folder / "bench.csv", [*pairs(sizes), *commands()], sizes.repeats)
    with atomic(folder / "bench.md") as temporary:
        temporary.write_text(page(table))
    print(page(table))
    return table


def measured(file: Path, jobs: Iterable[Pair | Timed], repeats: int) -> pd.DataFrame:
    """The rows of ``jobs``, in their order; those that ``file`` has of this commit and machine are kept."""
    here, rows = {"machine": machine(), "commit": commit()}, dict[str, Row]()
    if file.exists() and not here["commit"].endswith("+"):  # of a changed tree nothing is known
        empty = {name: [""] for name in NUMBERS}
        old = pd.read_csv(file, dtype={"commit": str}, keep_default_na=False, na_values=empty)
        same = old[(old.machine == here["machine"]) & (old.commit == here["commit"])]
        kept: list[Any] = same.to_dict("records")
        rows = {row["row"]: row for row in kept}
    jobs, listed = list(jobs), list[str]()
    with tqdm(total=len(jobs), desc="bench") as bar:
        for job in jobs:
            names = list(job.ours) if isinstance(job, Pair) else [job.name]
            bar.set_postfix_str(names[0])
            if not set(names) <= set(rows):
                load = round(os.getloadavg()[0], 2)
                made = time_pair(job, repeats) if isinstance(job, Pair) else [time_command(job, repeats)]
                rows |= {row["row"]: rounded(row) | {"load": load} | here for row in made}
                write(file, rows)
            listed += names
            bar.update()
    return frame({name: rows[name] for name in listed})


NUMBERS = (
    "count",
    "repeats",
    "official_s",
    "ours_s",
    "ratio",
    "low",
    "high",
    "goal",
    "gflop",
    "floor_s",
    "load",
)


def rounded(row: Row) -> Row:
    """Four digits of every number are enough."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in row.items()}


def frame(rows: dict[str, Row]) -> pd.DataFrame:
    """A table of ``rows``."""
    return pd.DataFrame(list(rows.values()), columns=list(COLUMNS))


def write(file: Path, rows: dict[str, Row]) -> None:
    """The CSV."""
    with atomic(file) as temporary:
        frame(rows).to_csv(temporary, index=False)


def time_pair(pair: Pair, repeats: int) -> list[Row]:
    """Its rows: all sides in turn, so many times; counting operations first has warmed up what they share."""
    pair.before()
    operations = {name: flops(ours) for name, ours in pair.ours.items()}
    seconds: dict[str, list[float]] = {"official": [], **{name: [] for name in pair.ours}}
    outcomes: dict[str, list[bool]] = {}
    for _ in range(repeats):
        for side, run in {"official": pair.official, **pair.ours}.items():
            began = time.perf_counter()
            outcomes[side] = run()
            seconds[side].append(time.perf_counter() - began)
    shared: Row = {"work": pair.work, "count": pair.count, "unit": pair.unit, "repeats": repeats}
    shared |= {"official_s": statistics.median(seconds["official"]), "goal": pair.goal}
    shared |= {"official_success": success(outcomes["official"])}
    rows = []
    for name, ours in list(seconds.items())[1:]:
        ratios = [a / b for a, b in zip(seconds["official"], ours, strict=True)]
        row = {"row": name, "ours_s": statistics.median(ours), "ours_success": success(outcomes[name])}
        row |= {"ratio": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
        row |= {"met": yes(statistics.median(ratios) >= pair.goal)}
        row |= {"gflop": operations[name] / 1e9, "floor_s": operations[name] / matmul_rate()}
        rows.append(shared | row)
    return rows


def time_command(one: Timed, repeats: int) -> Row:
    """One row: seconds of a process, the lowest and the highest; or why there are none."""
    row: Row = {"row": one.name, "work": one.work, "unit": "processes", "count": 1, "note": one.note}
    if one.note:
        return row
    seconds = [one.seconds() for _ in range(repeats)]
    row |= {
        "repeats": repeats,
        "ours_s": statistics.median(seconds),
        "low": min(seconds),
        "high": max(seconds),
    }
    return row | ({"goal": one.goal, "met": yes(row["ours_s"] <= one.goal)} if one.goal else {})


def yes(met: bool) -> str:
    """Is a goal met?"""
    return "yes" if met else "NO"


def success(outcomes: list[bool]) -> str:
    """The share of prompts that broke, in %, with its interval; nothing where there are none."""
    if not outcomes:
        return ""
    one = proportion(sum(outcomes), len(outcomes))
    return f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}]"


def page(table: pd.DataFrame) -> str:
    """The result as Markdown."""
    ratios, seconds = table[table.ratio.notna()], table[table.ratio.isna()]
    first = pd.DataFrame({
        "job": ratios.row, "both sides do": ratios.work,
        "official (s)": ratios.official_s.map("{:.3g}".format),
        "ours (s)": ratios.ours_s.map("{:.3g}".format),
        "official per s": (ratios["count"] / ratios.official_s).map("{:.3g}".format),
        "ours per s": (ratios["count"] / ratios.ours_s).map("{:.3g}".format),
        "ratio (min to max)": [spread(row) for row in ratios.assign(value=ratios.ratio).itertuples()],
        "goal": ratios.goal, "met": ratios.met,
        "success, official (%)": ratios.official_success, "success, ours (%)": ratios.ours_success,
        "ours, GFLOP": ratios.gflop.map("{:.3g}".format),
        "floor of ours (s)": ratios.floor_s.map("{:.3g}".format),
    })  # fmt: skip
    second = pd.DataFrame({
        "command": seconds.row, "what": seconds.work,
        "seconds (min to max)": [spread(row) for row in seconds.assign(value=seconds.ours_s).itertuples()],
        "goal": seconds.goal.map(lambda goal: "" if pd.isna(goal) else f"{goal:g}"),
        "met": seconds.met.fillna(""), "": seconds.note.fillna(""),
    })  # fmt: skip
    made = (
        f"{table.machine.iloc[0]}; commit {table.commit.iloc[0]}; median of {table.repeats.max():g} repeats; "
    )
    made += f"load when a row began: {table.load.min():g} to {table.load.max():g}."
    tables = [one.to_markdown(index=False, disable_numparse=True) for one in (first, second)]
    return "\n\n".join(["# Against the official way of working", made, *tables]) + "\n"


def spread(row: Any) -> str:
    """A median and its range; nothing where nothing was measured."""
    return "" if pd.isna(row.value) else f"{row.value:.3g} ({row.low:.3g} to {row.high:.3g})"
