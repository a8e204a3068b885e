"""The paper's 86 claims, as inequalities between two cells: which of them hold here."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from advunlearn_lib.files import atomic
from advunlearn_lib.paper.cells import PLACE, Record, read
from advunlearn_lib.profiles import Profile
from advunlearn_lib.store import ROOT

VERDICTS = ("holds", "fails", "undecided")


@cache
def reported() -> list[Record]:
    """All cells of ``reported.csv``."""
    return read("reported.csv").to_dict("records")  # type: ignore[return-value]


def side(text: str, item: str, metric: str) -> dict[str, str]:
    """The cell of ``reported.csv`` that one side of a claim means; empty fields match anything."""
    wanted = {"table": item, "metric": metric} | dict(zip(PLACE, text.split("|"), strict=True))
    cells = [cell for cell in reported() if all(cell[field] == value for field, value in wanted.items() if value)]
    if len(cells) != 1:
        raise ValueError(f"{len(cells)} cells of table {item} match {text!r}, not one")
    return {field: str(cells[0][field]) for field in PLACE}


def verdict(left: dict[str, Any], relation: str, right: dict[str, Any]) -> str:
    """holds or fails where the 95 % intervals are apart, else undecided."""
    smaller, larger = (left, right) if relation == "<" else (right, left)
    if smaller["high"] < larger["low"]:
        return "holds"
    return "fails" if smaller["low"] > larger["high"] else "undecided"


def judge(records: list[Record]) -> pd.DataFrame:
    """All claims whose both sides are among ``records``, in the paper's order."""
    ours = {(*(record[field].split(" (")[0] if field == "concept" else record[field] for field in PLACE), record["metric"]): record
            for record in records}  # fmt: skip
    rows = []
    for claim in read("claims.csv").to_dict("records"):
        places = [side(claim[end], claim["item"], claim["metric"]) for end in ("left", "right")]
        found = [ours.get((*(place[field] for field in PLACE), claim["metric"])) for place in places]
        if found[0] is None or found[1] is None:
            continue
        row = {name: claim[name] for name in ("id", "meaning", "metric")}
        row["reported"] = f"{claim['reported_left']:g} {claim['relation']} {claim['reported_right']:g}"
        row["verdict"] = verdict(found[0], claim["relation"], found[1])
        for name, cell in zip(("left", "right"), found, strict=True):
            row |= {name: cell["reproduced"], f"{name}_low": cell["low"], f"{name}_high": cell["high"]}  # type: ignore[index]
        rows.append(row)
    return pd.DataFrame(rows)


def lines(judged: pd.DataFrame) -> str:
    """The verdicts for a terminal, a line a claim."""
    return "\n".join(
        f"claim {row.id:>5} {row.verdict:>9}: {row.meaning} ({row.metric} {row.reported}; here {row.left:.3g} vs {row.right:.3g})"
        for row in judged.itertuples()
    )


def count(judged: pd.DataFrame) -> str:
    """``70 hold, 10 fail, 6 undecided of 86``."""
    found = Counter(judged.verdict)
    return f"{found['holds']} hold, {found['fails']} fail, {found['undecided']} undecided of {len(judged)}"


def why(profile: Profile, item: str = "") -> str:
    """What a person found about the committed results of ``profile``: the sections of its ``explanations.md`` whose heading,
    ``## table3 table5: ...``, names ``item``; the whole text without one; nothing of a quick run or where none was written."""
    file = ROOT / "figures" / profile.name / "explanations.md"
    if profile.quick or not file.exists():
        return ""
    text = file.read_text()
    sections = re.findall(r"^## ([^:\n]*): ([^\n]*)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return "\n".join(f"**{title}**\n{body}" for items, title, body in sections if item in items.split()) if item else text


def write(judged: pd.DataFrame, folder: Path, stamp: str, told: str = "") -> None:
    """``claims.csv`` and a page to read, ``claims.md``, which ends with ``told``."""
    columns = ["id", "verdict", "left", "left_low", "left_high", "right", "right_low", "right_high"]
    ends = [[f"{row[name]:.3g} [{row[f'{name}_low']:.3g}, {row[f'{name}_high']:.3g}]" for name in ("left", "right")]
            for row in judged.to_dict("records")]  # fmt: skip
    page = judged[["id", "meaning", "metric", "reported"]].assign(
        left=[e[0] for e in ends], right=[e[1] for e in ends], here=judged.verdict
    )
    text = f"# The paper's claims, here\n\n{count(judged)}. A claim holds or fails where the two 95 % intervals are apart.\n\n"
    contents = {"csv": judged[columns].to_csv(index=False), "md": f"{text}{page.to_markdown(index=False)}\n\n{stamp}\n\n{told}"}
    for suffix, content in contents.items():
        with atomic(folder / f"claims.{suffix}") as temporary:
            temporary.write_text(content)
