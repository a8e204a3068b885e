"""The paper's 86 claims, as inequalities between two cells: which of them hold here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.markdown import plain
from advunlearn_lib.experiment.cells import Cell
from advunlearn_lib.experiment.samples import OUTCOME, paired
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.compare import Difference, Rule, joined
from advunlearn_lib.metrics.estimate import Estimate, proportion
from advunlearn_lib.profiles.schema import Profile
from advunlearn_lib.report.folders import published_folder
from advunlearn_lib.report.reported import Reported, Result, read_csv, reported

PAPER_PROMPTS = {"nudity": 142}  # the rows of its prompt file; of any other concept 50
RULE = (
    "A claim holds or fails where the difference, left - right, is apart from 0: on the same prompts by "
    "McNemar's exact test (p < 0.05; the interval is Newcombe's for pairs), on the same captions by the "
    "paired bootstrap's 95 % interval, else by the interval that the two sides' own make (Newcombe's of "
    "success rates, MOVER of others)."
)


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
    """The cell of a table that ``concept|method|component|variant|attack`` means.

    Empty fields match anything. Raises ``ValueError`` where that is not one cell.
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


def judge(results: Sequence[Result], studies: Sequence[Study] = ()) -> pd.DataFrame:
    """A row for each claim whose both sides are among ``results``, in the paper's order.

    ``studies``, those that computed the results, one a seed, give the samples for paired comparisons.
    """
    ours = {result.cell: result for result in results}
    rows = []
    for claim in claims():
        left, right = ours.get(claim.left.cell), ours.get(claim.right.cell)
        if left is not None and right is not None:
            rows.append(judged_row(claim, left, right, compare(left, right, studies)))
    return pd.DataFrame(rows)


def judged_row(claim: Claim, left: Result, right: Result, difference: Difference) -> dict[str, object]:
    """One claim, what the paper reports, and what holds here."""
    return {
        "id": claim.id,
        "meaning": claim.meaning,
        "metric": claim.metric,
        "reported": f"{claim.left.value:g} {claim.relation} {claim.right.value:g}",
        "verdict": difference.verdict(claim.relation),
        "rule": difference.rule,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
        **{f"left{end}": value for end, value in ends(left).items()},
        **{f"right{end}": value for end, value in ends(right).items()},
        "paper_verdict": paper_verdict(claim),
    }


def ends(result: Result) -> dict[str, float]:
    """A number, its interval and how many samples are behind it."""
    return {"": result.reproduced, "_low": result.low, "_high": result.high, "_n": result.n}


def compare(left: Result, right: Result, studies: Sequence[Study] = ()) -> Difference:
    """left - right: paired where both rest on the same prompts or captions, else from the two intervals."""
    rule: Rule = "Newcombe" if left.metric in OUTCOME else "MOVER"
    return paired(left.cell, studies, right.cell, studies) or joined(left.estimate, right.estimate, rule)


def paper_verdict(claim: Claim) -> str:
    """Could the paper's own numbers decide the claim?

    Success rates by Newcombe's interval, of 142 prompts for nudity and 50 for any other concept (the official
    prompt files; the paper's outcomes a prompt are not published). Of FID and CLIP score neither the spread
    over pictures nor an interval is known, of the seconds only a mean.
    """
    if claim.metric not in OUTCOME:
        return "not known"
    return joined(rate_of(claim.left), rate_of(claim.right), "Newcombe").verdict(claim.relation)


def rate_of(number: Reported) -> Estimate:
    """A success rate of the paper, to the nearest whole prompt."""
    n = PAPER_PROMPTS.get(number.cell.row.concept, 50)
    return proportion(round(number.value / 100 * n), n)


def lines(judged: pd.DataFrame) -> str:
    """The verdicts for a terminal, a line a claim."""
    return "\n".join(
        f"claim {row.id:>5} {row.verdict:>9}: {row.meaning} "
        f"({row.metric} {row.reported}; here {row.left:.3g} vs {row.right:.3g}, "
        f"difference {row.difference:.3g} [{row.low:.3g}, {row.high:.3g}], {row.rule})"
        for row in judged.itertuples()
    )


SIGNS = {"holds": "✓", "fails": "✗", "undecided": "?"}


def marks(judged: pd.DataFrame) -> dict[Cell, str]:
    """At the left cell of each claim, as HTML: does it hold, fail, or stay undecided?"""
    verdicts = {} if judged.empty else dict(zip(judged.id, judged.verdict, strict=True))
    shown: dict[Cell, str] = {}
    for claim in claims():
        if verdict := verdicts.get(claim.id):
            said = f'title="{verdict}: {escape(claim.meaning)}"'
            mark = f"<span {said}>{SIGNS[verdict]}<sup>{claim.id}</sup></span>"
            shown[claim.left.cell] = f"{shown.get(claim.left.cell, '')} {mark}".strip()
    return shown


def count(judged: pd.DataFrame) -> str:
    """``70 hold, 10 fail, 6 undecided of 86``; where tables lack, of how many whose tables are here."""
    holds, fails, undecided = (Counter(judged.verdict)[name] for name in ("holds", "fails", "undecided"))
    whole = len(judged) == len(claims())
    of = "" if whole else f" whose tables are here (the paper has {len(claims())})"
    return f"{holds} hold, {fails} fail, {undecided} undecided of {len(judged)}{of}"


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


def markdown(judged: pd.DataFrame) -> str:
    """The verdicts as a table to read: each side and the difference with its interval."""
    page = judged[["id", "meaning", "metric", "reported"]].copy()
    for name, start in (("left", "left_"), ("right", "right_"), ("difference", "")):
        columns = zip(judged[name], judged[f"{start}low"], judged[f"{start}high"], strict=True)
        page[name] = [f"{value:.3g} [{low:.3g}, {high:.3g}]" for value, low, high in columns]
    page["rule"], page["here"], page["paper's n"] = judged.rule, judged.verdict, judged.paper_verdict
    return page.to_markdown(index=False)


def write(judged: pd.DataFrame, folder: Path, stamp: str, ending: str = "") -> None:
    """``claims.csv`` and a page to read, ``claims.md``, with ``ending`` at its end."""
    head = f"# The paper's claims, here\n\n{count(judged)}. {RULE}\n\n{sizes(judged)}"
    contents = {
        "csv": judged.drop(columns=["meaning", "metric", "reported"]).to_csv(index=False),
        "md": f"{head}\n\n{markdown(judged)}\n\n{plain(stamp)}\n\n{ending}",
    }
    for suffix, content in contents.items():
        with atomic(folder / f"claims.{suffix}") as temporary:
            temporary.write_text(content)


def sizes(judged: pd.DataFrame) -> str:
    """How many samples are behind the numbers, and how far the paper's own would carry."""
    counts = {str(name): sorted({*rows.left_n, *rows.right_n}) for name, rows in judged.groupby("metric")}
    said = "; ".join(f"{name}: n = {', '.join(map(str, n))}" for name, n in counts.items())
    own = Counter(judged.paper_verdict)
    paper = ", ".join(f"{own[name]} {name}" for name in ("holds", "undecided", "not known"))
    return f"Samples here: {said}. The paper's own numbers at its own n (142 prompts, or 50): {paper}."
