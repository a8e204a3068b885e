"""``outcomes.csv.xz``: what became of every prompt under every attack, item by item.

``pandas.read_csv`` takes it as it is; packed it has a seventeenth of the size.

A run of some items replaces their rows and leaves the others', so the file is of all items ever run.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from advunlearn_lib.attacks.records import AttackResult
from advunlearn_lib.base.files import atomic
from advunlearn_lib.experiment.cells import Cell
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.items import ITEMS, TABLES
from advunlearn_lib.report.reported import reported

NAME = "outcomes.csv.xz"
LUCK = "random"  # the attack beside the paper's, where it was run


def write(run: Run, items: Sequence[str]) -> None:
    """Put the outcomes of ``items``, all in the store, into the run's file; nothing of several seeds."""
    if len(run.studies) > 1:
        return
    path = run.folder / NAME
    fresh = pd.DataFrame([row for item in items if item in TABLES for row in rows_of(run, item)])
    if fresh.empty:
        return
    merged = pd.concat([kept(path, items), fresh.astype(str)])
    merged = merged.sort_values("item", key=lambda names: names.map(ITEMS.index), kind="stable")
    with atomic(path) as temporary:
        text = merged.to_csv(index=False).encode()
        temporary.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))


def kept(path: Path, items: Sequence[str]) -> pd.DataFrame:
    """The rows of other items, as they were written."""
    if not path.exists():
        return pd.DataFrame()
    before = pd.read_csv(path, dtype=str, keep_default_na=False)
    return before[~before["item"].isin(items)]


def rows_of(run: Run, item: str) -> list[dict[str, object]]:
    """A row a prompt of each attack of the item; those of random tokens too, where they were tried."""
    cells = dict.fromkeys(number.cell for number in reported(TABLES[item]) if number.cell.metric == "asr")
    return [
        {"item": item, **cell.row._asdict(), "attack": attack, **outcome}
        for cell in cells
        for attack in (cell.attack, LUCK)
        for outcome in outcomes_of(run, cell._replace(attack=attack))
    ]


def outcomes_of(run: Run, cell: Cell) -> list[dict[str, object]]:
    """Each prompt's outcome as the store has it: prompt, seed, before, after, adversarial, step."""
    record = run.study.record(run.study.protocol.cell(cell))
    return [] if record is None else [one.model_dump() for one in AttackResult(**record["result"]).prompts]
