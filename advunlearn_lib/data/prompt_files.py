"""Prompts from a user's file: a CSV with a column ``prompt``, or a text file with a prompt a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from advunlearn_lib.attacks.records import EvaluationPrompt
from advunlearn_lib.base.errors import UserError


def read_prompts(file: Path) -> list[EvaluationPrompt]:
    """The prompts of ``file``; the seeds are the CSV's ``evaluation_seed``, or 0, 1, ...

    Raises :class:`UserError` where it is missing, empty or lacks its column.
    """
    if file.suffix == ".csv":
        return evaluation_prompts(read_table(file, ("prompt",)))
    if not file.is_file():
        raise UserError(f"no such prompts file: {str(file)!r}")
    lines = [line.strip() for line in file.read_text().splitlines() if line.strip()]
    if not lines:
        raise UserError(f"the prompts file {str(file)!r} has no prompts")
    return [EvaluationPrompt(line, seed) for seed, line in enumerate(lines)]


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file with at least ``columns``.

    Raises :class:`UserError` for one that lacks a column or has no rows.
    """
    try:
        rows = pd.read_csv(path)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(f"cannot read the prompts file {str(path)!r}: {reason}") from error
    missing = [column for column in columns if column not in rows]
    if missing:
        needed = ", ".join(columns)
        raise UserError(f"the prompts file {str(path)!r} has no column {missing[0]!r} (needed: {needed})")
    if rows.empty:
        raise UserError(f"the prompts file {str(path)!r} has no rows")
    return rows.dropna(subset=list(columns))


def evaluation_prompts(rows: pd.DataFrame) -> list[EvaluationPrompt]:
    """One prompt a row, with the row's seed and guidance scale where it has one."""
    guidance = rows["evaluation_guidance"] if "evaluation_guidance" in rows else [None] * len(rows)
    seeds = rows["evaluation_seed"] if "evaluation_seed" in rows else range(len(rows))
    return [
        EvaluationPrompt(str(text), int(seed), None if scale is None else float(scale))
        for text, seed, scale in zip(rows["prompt"], seeds, guidance, strict=True)
    ]
