"""The paper's 86 claims, as inequalities between two cells: which of them hold here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from advunlearn_lib.base.files import atomic
from advunlearn_lib.experiment.cells import Cell
from advunlearn_lib.paper.folders import published_folder
from advunlearn_lib.paper.reported import Reported, Result, read_csv, reported
from advunlearn_lib.profiles.schema import Profile

Verdict = Literal["holds", "fails", "undecided"]


class Claim(NamedTuple):
    """``left relation right``: two cells of one table, and what the inequality means."""

    id: str
    metric: str
    left: Reported
    relation: Literal["<", ">"]
    right: Reported
    meaning: str


@cache
def claims() -> list[Claim]:
    """All claims, in the paper's order."""
    return [claim_of(line) for line in read_csv("claims.csv")]


def claim_of(line: dict[str, str]) -> Claim:
    """One line of ``claims.csv``."""
    left, right = (find_cell(line[side], line["item"], line["metric"]) for side in ("left", "right"))
    relation: Literal["<", ">"] = "<" if line["relation"] == "<" else ">"
    return Claim(line["id"], line["metric"], left, relation, right, line["meaning"])


def find_cell(side: str, table: str, metric: str) -> Reported:
    """The cell of a table that ``concept|method|component|variant|attack``
    means; empty fields match anything.

    Raises ``ValueError`` where that is not one cell.
    """
    wanted = side.split("|")
    cells = [
        number
        for number in reported(table)
        if number.cell.metric == metric
        and all(not want or want == has for want, has in zip(wanted, place_of(number.cell), strict=True))
    ]
    if len(cells) != 1:
        raise ValueError(f"{len(cells)} cells of table {table} match {side!r}, not one")
    return cells[0]


def place_of(cell: Cell) -> tuple[str, ...]:
    """Model and attack of a cell."""
    return (*cell.row, cell.attack)


def verdict(left: Result, relation: str, right: Result) -> Verdict:
    """holds or fails where the 95 % intervals are apart, else undecided."""
    smaller, larger = (left, right) if relation == "<" else (right, left)
    if smaller.high < larger.low:
        return "holds"
    return "fails" if smaller.low > larger.high else "undecided"


def judge(results: Sequence[Result]) -> pd.DataFrame:
    """A row for each claim whose both sides are among ``results``, in the paper's order."""
    ours = {result.cell: result for result in results}
    rows = []
    for claim in claims():
        left, right = ours.get(claim.left.cell), ours.get(claim.right.cell)
        if left is not None and right is not None:
            rows.append(judged_row(claim, left, right))
    return pd.DataFrame(rows)


def judged_row(claim: Claim, left: Result, right: Result) -> dict[str, object]:
    """One claim, what the paper reports, and what holds here."""
    row: dict[str, object] = {"id": claim.id, "meaning": claim.meaning, "metric": claim.metric}
    row["reported"] = f"{claim.left.value:g} {claim.relation} {claim.right.value:g}"
    row["verdict"] = verdict(left, claim.relation, right)
    for name, result in (("left", left), ("right", right)):
        row |= {name: result.reproduced, f"{name}_low": result.low, f"{name}_high": result.high}
    return row


def lines(judged: pd.DataFrame) -> str:
    """The verdicts for a terminal, a line a claim."""
    return "\n".join(
        f"claim {row.id:>5} {row.verdict:>9}: {row.meaning} "
        f"({row.metric} {row.reported}; here {row.left:.3g} vs {row.right:.3g})"
        for row in judged.itertuples()
    )


def count(judged: pd.DataFrame) -> str:
    """``70 hold, 10 fail, 6 undecided of 86``."""
    holds, fails, undecided = (Counter(judged.verdict)[name] for name in ("holds", "fails", "undecided"))
    return f"{holds} hold, {fails} fail, {undecided} undecided of {len(judged)}"


def explanations(profile: Profile, item: str = "") -> str:
    """What a person found about the published results of ``profile``, as Markdown.

    With ``item`` the sections of its ``explanations.md`` whose heading, ``## table3 table5: ...``, names it;
    without, the whole text; nothing of a quick run or where none was written.
    """
    file = published_folder(profile.name) / "explanations.md"
    if profile.quick or not file.exists():
        return ""
    page = file.read_text()
    if not item:
        return page
    sections = re.findall(r"^## ([^:\n]*): ([^\n]*)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return "\n".join(f"**{title}**\n{body}" for items, title, body in sections if item in items.split())


def write(judged: pd.DataFrame, folder: Path, stamp: str, ending: str = "") -> None:
    """``claims.csv`` and a page to read, ``claims.md``, with ``ending`` at its end."""
    columns = ["id", "verdict", "left", "left_low", "left_high", "right", "right_low", "right_high"]
    page = judged[["id", "meaning", "metric", "reported"]].copy()
    for side in ("left", "right"):
        ends = zip(judged[side], judged[f"{side}_low"], judged[f"{side}_high"], strict=True)
        page[side] = [f"{value:.3g} [{low:.3g}, {high:.3g}]" for value, low, high in ends]
    page["here"] = judged.verdict
    rule = "A claim holds or fails where the two 95 % intervals are apart."
    head = f"# The paper's claims, here\n\n{count(judged)}. {rule}"
    contents = {
        "csv": judged[columns].to_csv(index=False),
        "md": f"{head}\n\n{page.to_markdown(index=False)}\n\n{stamp}\n\n{ending}",
    }
    for suffix, content in contents.items():
        with atomic(folder / f"claims.{suffix}") as temporary:
            temporary.write_text(content)
