"""The paper's tables with our numbers beside the paper's: layout, text, files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.markdown import plain
from advunlearn_lib.experiment.cells import BASE, Cell, Row
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.report.reported import Result

COLUMNS = (
    *("table", "concept", "here", "method", "component", "variant", "attack", "metric"),
    *("reported", "reproduced", "low", "high", "n", "key"),
)
PLACE = ("concept", "method", "component", "variant", "attack")
HEADS = {
    "concept": "Concept",
    "method": "DM",
    "component": "Optimised component",
    "variant": "Variant",
    "attack": "Attack",
}
METRICS = {
    "asr": "ASR (%)",
    "pre_asr": "pre-ASR (%)",
    "clip": "CLIP score",
    "seconds_per_iteration": "training (s / iteration)",
}
ACROSS = {"9": "concept", "A5": "method"}  # tables whose columns are not metrics
NO_FORMULAS = "tex2jax_ignore"  # MathJax's name for what it leaves alone
DIGITS = {"clip": 3, "seconds_per_iteration": 2}


def metric_label(metric: str, fid_features: str) -> str:
    """``ASR (%)``; of FID also the features it is measured in."""
    if metric == "fid":
        return f"FID ({'Inception' if fid_features == 'inception' else 'judge'} features)"
    return METRICS[metric]


def concept_label(result: Result) -> str:
    """``nudity (weapon)`` where another concept stands in."""
    return f"{result.concept} ({result.here})" if result.here else result.concept


def interval(estimate: Estimate | Result, value: float, metric: str = "") -> str:
    """``20.0 [10.1, 35.2]``."""
    digits = DIGITS.get(metric, 1)
    return f"{value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def text(result: Result) -> str:
    """``reported | reproduced [low, high]``, with the spread across seeds where there are several."""
    across = f" ±{result.spread:.{DIGITS.get(result.metric, 1)}f}" if len(result.seeds) > 1 else ""
    paper = "–" if result.reported is None else f"{result.reported:g}"
    return f"{paper} | {interval(result, result.reproduced, result.metric)}{across}"


def arranged(results: Sequence[Result]) -> tuple[str, list[str]]:
    """What a table's columns tell apart, and what its rows do: names of a result's fields."""
    across = ACROSS.get(results[0].table, "metric")
    return across, [f for f in PLACE if f != across and len({getattr(r, f) for r in results}) > 1]


def layout(
    results: Sequence[Result],
    fid_features: str,
    pre_asr: Mapping[Row, Estimate] | None = None,
    cell: Callable[[Result], str] = text,
) -> pd.DataFrame:
    """The paper's layout: a row a model, a column a metric (or what ``ACROSS`` says).

    ``pre_asr`` adds a column; ``cell`` is what is said of a number.
    """
    across, varying = arranged(results)
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for result in results:
        head = tuple(getattr(result, field) for field in varying)
        if head not in lines:
            lines[head] = {HEADS[field]: head_text(result, field) for field in varying}
            if pre_asr and across == "metric" and result.row in pre_asr:
                estimate = pre_asr[result.row]
                lines[head][METRICS["pre_asr"]] = interval(estimate, estimate.value)
        lines[head][column_text(result, across, fid_features)] = cell(result)
    return pd.DataFrame(list(lines.values())).fillna("")


def head_text(result: Result, field: str) -> str:
    """What a row's or column's head says."""
    return concept_label(result) if field == "concept" else getattr(result, field) or "N/A"


def column_text(result: Result, across: str, fid_features: str) -> str:
    """The head of a result's column."""
    return metric_label(result.metric, fid_features) if across == "metric" else head_text(result, across)


def best(results: Sequence[Result]) -> set[Cell]:
    """The cells with the best number of their metric on their concept under their attack.

    The untouched model aside, and where columns are no metrics, none.
    """
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results if results[0].table not in ACROSS else ():
        if result.method != BASE or result.variant == "Transfer":
            groups.setdefault((result.concept, result.attack, result.metric), []).append(result)
    chosen = {
        key: (max if key[-1] == "clip" else min)(one.reproduced for one in group)
        for key, group in groups.items()
        if len(group) > 1
    }
    return {one.cell for key, value in chosen.items() for one in groups[key] if one.reproduced == value}


def styled(
    results: Sequence[Result],
    fid_features: str,
    pre_asr: Mapping[Row, Estimate],
    marks: Mapping[Cell, str],
) -> str:
    """The table to look at, as HTML: to one decimal, the best in bold, behind a number what ``marks`` say."""
    winners = best(results)

    def cell(result: Result) -> str:
        digits = DIGITS.get(result.metric, 1)
        paper = "–" if result.reported is None else f"{result.reported:.{digits}f}"
        ours = f"{result.reproduced:.{digits}f}"
        ours = f"<b>{ours}</b>" if result.cell in winners else ours
        ends = f"<small>[{result.low:.{digits}f}, {result.high:.{digits}f}]</small>"
        return " ".join(filter(None, (f"{paper} | {ours} {ends}", marks.get(result.cell, ""))))

    table = layout(results, fid_features, pre_asr, cell)
    for head in {*HEADS.values()} & {*table.columns}:
        table[head] = table[head].map(escape)
    return html(table.rename(columns=escape), escape=False)


def html(table: pd.DataFrame, escape: bool = True) -> str:
    """An HTML table, in which a notebook sees no formulas."""
    table = each_text(table, one_line)
    return str(table.to_html(escape=escape, index=False, border=0, classes=NO_FORMULAS))


def one_line(text: str) -> str:
    """``text`` without its line breaks."""
    return " ".join(text.split())


def each_text(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """``table`` with ``change`` of each text in it, its columns' names among them."""
    return table.map(lambda one: change(one) if isinstance(one, str) else one).rename(columns=change)


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table; what would be more than text in it is escaped."""
    return each_text(table, plain).to_markdown(index=False)


def latex(table: pd.DataFrame) -> str:
    """A LaTeX table; a line that began with a bracket or a star would be the last line break's option."""
    lines = each_text(table, one_line).to_latex(index=False, escape=True)
    return re.sub(r"^([\[*])", r"{\1}", lines, flags=re.MULTILINE)


def page(table: pd.DataFrame, stamp: str) -> str:
    """A Markdown page: the table, and under it the stamp."""
    return f"{markdown(table)}\n\n{plain(stamp)}\n"


def write(results: Sequence[Result], table: pd.DataFrame, folder: Path, name: str, stamp: str) -> None:
    """Write ``<name>.json``, ``.csv``, ``.md`` and ``.tex`` into ``folder``.

    The stamp says commit, profile and seed.
    """
    cells = [result.model_dump() for result in results]
    contents = {
        "json": json.dumps({"stamp": stamp, "cells": cells}, indent=1),
        "csv": pd.DataFrame(cells)[list(COLUMNS)].to_csv(index=False),
        "md": page(table, stamp),
        "tex": f"% {one_line(stamp)}\n{latex(table)}",
    }
    for suffix, content in contents.items():
        with atomic(folder / f"{name}.{suffix}") as temporary:
            temporary.write_text(content)
