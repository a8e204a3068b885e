"""What the paper reports, cell by cell, and what we get for it."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from advunlearn_lib.base.errors import UserError, choose, validated
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.cells import Cell, Row, usual_component
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.profiles.added import load_added
from advunlearn_lib.profiles.schema import Profile
from advunlearn_lib.report.items import TABLES

HERE = Path(__file__).parent


class Reported(NamedTuple):
    """A number of the paper."""

    table: str
    cell: Cell
    value: float


class Added(NamedTuple):
    """A number of a method or an attack that the paper does not have."""

    table: str
    cell: Cell
    value: None = None


class Result(BaseModel):
    """A number of the paper, if it has it, and ours.

    ``here`` is what stands for the concept in this profile, if anything does.

    With several seeds ``reproduced``, ``low`` and ``high`` are means over them,
    ``seeds`` the single values and ``spread`` their standard deviation. ``key``
    is the recipe's, ``commit`` the code that computed the (first) cell.
    """

    model_config = ConfigDict(frozen=True)
    table: str
    concept: str
    here: str
    method: str
    component: str
    variant: str
    attack: str
    metric: str
    reported: float | None
    reproduced: float
    low: float
    high: float
    n: int
    key: str
    seeds: list[float]
    spread: float
    commit: str

    @property
    def row(self) -> Row:
        """The model."""
        return Row(self.concept, self.method, self.component, self.variant)

    @property
    def estimate(self) -> Estimate:
        """Our value with its interval."""
        return Estimate(value=self.reproduced, low=self.low, high=self.high, n=self.n)

    @property
    def cell(self) -> Cell:
        """The cell."""
        return Cell(self.row, self.attack, self.metric)


def read_csv(name: str) -> list[dict[str, str]]:
    """The lines of ``reported.csv`` or ``claims.csv``."""
    with (HERE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def all_reported() -> dict[str, list[Reported]]:
    """All numbers of the paper, by table."""
    tables: dict[str, list[Reported]] = {}
    for line in read_csv("reported.csv"):
        row = Row(*(line[field] for field in Row._fields))
        number = Reported(line["table"], Cell(row, line["attack"], line["metric"]), float(line["value"]))
        tables.setdefault(number.table, []).append(number)
    return tables


def reported(table: str) -> list[Reported]:
    """The cells of one table, as the paper has them. Raises :class:`UserError` for an unknown table."""
    return all_reported()[choose("table", table, all_reported())]


def rows_of(table: str) -> list[Row]:
    """The models of a table, in the paper's order."""
    return list(dict.fromkeys(number.cell.row for number in reported(table)))


def numbers_of(profile: Profile, table: str) -> list[Reported | Added]:
    """The paper's cells of a table, and those of what the profile's ``added`` files put beside them.

    An added method is measured as the table's models are, an added attack is tried on all of them.
    """
    paper, files = reported(table), [load_added(file) for file in profile.added]
    cells = [number.cell for number in paper]
    named = any(cell.row.component for cell in cells)
    for name in (name for file in files for name in file.methods):
        label = METHODS[name].LABEL
        component = usual_component(label) if named else ""
        cells += dict.fromkeys(
            cell._replace(row=Row(cell.row.concept, label, component)) for cell in cells[: len(paper)]
        )
    models = dict.fromkeys(cell.row for cell in cells if cell.metric == "asr")
    cells += [Cell(row, attack, "asr") for file in files for attack in file.attacks for row in models]
    return [*paper, *(Added(table, cell) for cell in cells[len(paper) :])]


def jobs_of(studies: Sequence[Study], table: str) -> list[Job]:
    """What has to be computed for a table, for each study (one a seed)."""
    return [
        Job(study.profile, study.protocol.cell(number.cell))
        for number in numbers_of(studies[0].profile, table)
        for study in studies
    ]


def reproduce(studies: Sequence[Study], table: str) -> list[Result]:
    """One result for each cell of a table, computed or read from the store, over the seeds of ``studies``."""
    compute(jobs_of(studies, table), studies[0].store, f"table {table}")
    return [result_of(studies, number) for number in numbers_of(studies[0].profile, table)]


def read_results(folder: Path) -> tuple[list[Result], str]:
    """The cells of the tables whose JSON files a run left in ``folder``, and their stamps.

    Raises :class:`UserError` where there is none, and for a file that is no table's.
    """
    results: list[Result] = []
    stamps: dict[str, None] = {}
    paths = [folder / f"{name}.json" for name in TABLES if (folder / f"{name}.json").exists()]
    if not paths:
        raise UserError(f"{str(folder)!r} holds no table's results, such as table3.json")
    for path in paths:
        try:
            table = json.loads(path.read_text())
            stamps[table["stamp"]] = None
            results += [validated("cell", Result, cell) for cell in table["cells"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{str(path)!r} does not hold a table's results: {error}") from error
    return results, "; ".join(stamps)


def result_of(studies: Sequence[Study], number: Reported | Added) -> Result:
    """Our value of one number of a table."""
    cell, first = number.cell, studies[0]
    spec = first.protocol.cell(cell)
    estimates = [study.estimate(cell) for study in studies]
    record = first.record(spec)
    assert record is not None
    values, mean = [estimate.value for estimate in estimates], mean_of(estimates)
    return Result(
        table=number.table,
        **cell.row._asdict(),
        here=first.protocol.concept(cell.row.concept).here(),
        attack=cell.attack,
        metric=cell.metric,
        reported=number.value,
        reproduced=mean.value,
        low=mean.low,
        high=mean.high,
        n=mean.n,
        key=spec.key,
        seeds=values,
        spread=statistics.stdev(values) if len(values) > 1 else 0.0,
        commit=record["commit"],
    )


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of a number over seeds, with the means of its intervals' ends."""
    ends = ([getattr(one, name) for one in estimates] for name in ("value", "low", "high"))
    value, low, high = map(statistics.fmean, ends)
    return Estimate(value=value, low=low, high=high, n=estimates[0].n)
