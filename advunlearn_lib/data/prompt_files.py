"""Prompts from a user's file.

A table with a column ``prompt`` (.csv, .tsv), an object a line with the same names (.jsonl), or a prompt a
line (.txt); in UTF-8, or in UTF-16 that says so. What cannot be used is refused with its row and column,
never left out: prompts are numbered as rows are.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.seeds import check_seed
from advunlearn_lib.base.settings import LARGEST_SEED, STRONGEST
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import check_guidance

KINDS = (".csv", ".tsv", ".jsonl", ".txt")
SEEDS = ("evaluation_seed", "sd_seed", "seed")  # the official files', I2P's, plainly
SCALES = ("evaluation_guidance", "sd_guidance_scale", "guidance_scale")
Row = dict[str, str]


def read_prompts(file: Path, columns: Sequence[str] = ("prompt",)) -> list[EvaluationPrompt]:
    """The prompts of ``file`` in its order, with its seeds, or 0, 1, ...; a table has at least ``columns``.

    Raises :class:`UserError` where it is missing or empty, or holds what cannot be used.
    """
    rows = read_rows(file)
    if not rows:
        raise UserError(f"the prompts file {str(file)!r} has no rows")
    there = {name for row in rows for name in row}
    for column in columns:
        if column not in there:
            needed = ", ".join(columns)
            raise UserError(f"the prompts file {str(file)!r} has no column {column!r} (needed: {needed})")
    seeds, scales = (next((name for name in names if name in there), "") for names in (SEEDS, SCALES))
    prompts = []
    for number, row in enumerate(rows):
        column, wanted = "prompt", "a text"
        try:
            text = row["prompt"]
            if not text.strip():
                raise ValueError
            column, wanted = seeds, f"a seed (0 to {LARGEST_SEED})"
            seed = check_seed(int(row[seeds].strip().removesuffix(".0"))) if seeds else number
            column, wanted = scales, f"a guidance scale (0 to {STRONGEST})"
            scale = check_guidance(float(row[scales])) if scales else None
        except (KeyError, ValueError):
            cell = row.get(column, "")
            raise at_row(file, number, f"column {column!r} is {cell!r}, not {wanted}") from None
        prompts.append(EvaluationPrompt(text, seed, scale))
    return prompts


def read_rows(file: Path) -> list[Row]:
    """The file's rows, by column, whose names are in lower case."""
    suffix = file.suffix.lower()
    if suffix not in (*KINDS, ""):
        raise UserError(f"unknown kind of prompts file {str(file)!r} (allowed: {', '.join(KINDS)})")
    text = read_text(file)
    if suffix in (".csv", ".tsv"):
        return csv_rows(text, file)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if suffix == ".jsonl":
        return [json_row(line, number, file) for number, line in enumerate(lines)]
    return [{"prompt": line} for line in lines]


def read_text(file: Path) -> str:
    """The file's text with plain line ends. Raises :class:`UserError` for what is no text, or not UTF-8."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise UserError(f"no such prompts file: {str(file)!r}") from None
    except OSError as error:
        raise UserError(f"cannot read the prompts file {str(file)!r}: {error.strerror}") from error
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"the prompts file {str(file)!r}, line {line}: not UTF-8; save it as UTF-8") from None
    if "\0" in text:
        raise UserError(f"the prompts file {str(file)!r} is not text in UTF-8 or UTF-16")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def csv_rows(text: str, file: Path) -> list[Row]:
    """Rows, cut at what the header is cut at; where it is one name, a comma belongs to the prompt."""
    text = text.strip("\n")
    first = text.partition("\n")[0]
    separator = max("\t,;", key=first.count)
    spaced = f"{separator} " in first
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=spaced, strict=True)
    try:
        header, *rows = [row for row in reader if row] or [[]]
    except csv.Error as error:
        raise UserError(f"the prompts file {str(file)!r}, line {reader.line_num}: {error}") from None
    names = [name.strip().lower() for name in header]
    for name in filter(None, names):
        if names.count(name) > 1:
            raise UserError(f"the prompts file {str(file)!r} has two columns {name!r}")
    for number, row in enumerate(rows):
        if len(row) > len(names):
            remedy = "a prompt with commas needs quotes"
            raise at_row(file, number, f"{len(row)} cells for {len(names)} columns; {remedy}")
    return [{name: cell for name, cell in zip_longest(names, row, fillvalue="") if name} for row in rows]


def json_row(line: str, number: int, file: Path) -> Row:
    """A line of JSON as a row."""
    try:
        values = json.loads(line)
        cells = {name: str(v) if isinstance(v, str | int | float) else "" for name, v in values.items()}
    except (AttributeError, ValueError):
        raise at_row(file, number, 'not a JSON object such as {"prompt": "a church", "seed": 3}') from None
    return {name.strip().lower(): cell for name, cell in cells.items()}


def at_row(file: Path, number: int, what: str) -> UserError:
    """An error at a row; the first one below a header is 1."""
    return UserError(f"the prompts file {str(file)!r}, row {number + 1}: {what}")
