"""What the paper reports, cell by cell, and what we get for it: a table is a set of cells, rendered from their records."""

from __future__ import annotations

import json
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from advunlearn_lib.errors import choose
from advunlearn_lib.files import atomic
from advunlearn_lib.parallel import Task, compute
from advunlearn_lib.profiles import Profile
from advunlearn_lib.recipes import Cell, Row
from advunlearn_lib.study import Study

HERE = Path(__file__).parent
COLUMNS = ["table", "concept", "method", "component", "variant", "attack", "metric", "reported", "reproduced", "low", "high", "n", "key"]
PLACE = ["concept", "method", "component", "variant", "attack"]
LABELS = {
    "asr": "ASR (%)",
    "fid": "FID (judge features)",
    "clip": "CLIP score",
    "seconds_per_iteration": "training (s / iteration)",
    "concept": "Concept",
    "method": "DM",
    "component": "Optimised component",
    "variant": "Variant",
    "attack": "Attack",
}
ACROSS = {"9": "concept", "A5": "method"}  # tables whose columns are not metrics
DIGITS = {"clip": 3, "seconds_per_iteration": 2}
Record = dict[str, Any]


@cache
def read(name: str) -> pd.DataFrame:
    """``reported.csv`` or ``claims.csv``, all but numbers as text."""
    return pd.read_csv(HERE / name, dtype={"table": str, "item": str, "id": str}, keep_default_na=False)


def reported(table: str) -> list[Record]:
    """The cells of one table, as the paper has them."""
    cells = read("reported.csv")
    choose("table", table, dict.fromkeys(cells.table))
    return cells[cells.table == table].to_dict("records")  # type: ignore[return-value]


def cell_of(record: Record) -> Cell:
    """The cell that a record names; ``nudity (weapon)`` means nudity."""
    row = Row(record["concept"].split(" (")[0], record["method"], record["component"], record["variant"])
    return Cell(row, record["attack"], record["metric"])


def tasks(profiles: list[Profile], table: str) -> list[Task]:
    """What has to be computed for a table, for each profile (one a seed)."""
    return [(profile, cell_of(record)) for record in reported(table) for profile in profiles]


def reproduce(studies: list[Study], table: str) -> list[Record]:
    """One record for each reported cell, computed or read from the store.

    With several studies (one a seed) ``reproduced``, ``low`` and ``high`` are means over them, ``seeds`` the single
    values and ``spread`` their standard deviation; ``commit`` is the code that computed the (first) cell.
    """
    compute(tasks([study.profile for study in studies], table), studies[0].store, f"table {table}")
    records = []
    for record in reported(table):
        found = [study.estimate(cell_of(record)) for study in studies]
        values = [estimate.value for estimate, _ in found]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        ours: Record = {"reported": record.pop("value"), "reproduced": statistics.fmean(values)}
        ours |= {end: statistics.fmean(getattr(estimate, end) for estimate, _ in found) for end in ("low", "high")}
        computed = studies[0].store.read(*studies[0].recipes.cell(cell_of(record)))
        assert computed is not None
        ours |= {"n": found[0][0].n, "key": found[0][1], "seeds": values, "spread": spread, "commit": computed["commit"]}
        concept = studies[0].recipes.concept(record["concept"])
        stand_in = "" if concept.name.lower() == concept.paper.lower() else f" ({concept.name})"
        records.append(record | {"concept": record["concept"] + stand_in} | ours)
    return records


def frame(records: list[Record]) -> pd.DataFrame:
    """The columns of ``<item>.csv``."""
    return pd.DataFrame(records)[COLUMNS]


def text(record: Record) -> str:
    """``reported | reproduced [low, high]``, with the spread across seeds where there are several."""
    digits = DIGITS.get(record["metric"], 1)
    value, low, high, spread = (f"{record[name]:.{digits}f}" for name in ("reproduced", "low", "high", "spread"))
    across = f" ±{spread}" if len(record["seeds"]) > 1 else ""
    return f"{record['reported']:g} | {value} [{low}, {high}]{across}"


def layout(records: list[Record], extra: dict[Row, str] | None = None) -> pd.DataFrame:
    """The paper's layout: a row a model, a column a metric (or what ``ACROSS`` says). ``extra`` is a pre-ASR column."""
    across = ACROSS.get(records[0]["table"], "metric")
    varying = [field for field in PLACE if field != across and len({record[field] for record in records}) > 1]
    wide: dict[tuple[str, ...], dict[str, str]] = {}
    for record in records:
        head = tuple(record[field] for field in varying)
        line = wide.setdefault(head, {LABELS[field]: value or "N/A" for field, value in zip(varying, head, strict=True)})
        if extra and across == "metric":
            line["pre-ASR (%)"] = extra[cell_of(record).row]
        line[LABELS.get(str(record[across]), str(record[across]))] = text(record)
    return pd.DataFrame(list(wide.values()))


def markdown(pretty: pd.DataFrame) -> str:
    """A Markdown table; the bars within cells are escaped."""
    return pretty.replace(r"\|", r"\\|", regex=True).to_markdown(index=False)


def write(records: list[Record], pretty: pd.DataFrame, folder: Path, name: str, stamp: str) -> None:
    """``<name>.json``, ``.csv``, ``.md`` and ``.tex`` in ``folder``; the stamp says commit, profile and seed."""
    contents = {
        "json": json.dumps({"stamp": stamp, "cells": records}, indent=1),
        "csv": frame(records).to_csv(index=False),
        "md": f"{markdown(pretty)}\n\n{stamp}\n",
        "tex": f"% {stamp}\n{pretty.to_latex(index=False, escape=True)}",
    }
    for suffix, content in contents.items():
        with atomic(folder / f"{name}.{suffix}") as temporary:
            temporary.write_text(content)
