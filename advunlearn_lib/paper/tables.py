"""A table of the paper, cell by cell: reported | reproduced [95 % interval], and which of the paper's claims hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from advunlearn_lib.checkpoint import atomic
from advunlearn_lib.errors import choose
from advunlearn_lib.parallel import Cell, compute
from advunlearn_lib.study import Study

HERE = Path(__file__).parent
COLUMNS = ["table", "concept", "method", "component", "variant", "attack", "metric", "reported", "reproduced", "low", "high", "n", "key"]
PLACE = ["concept", "method", "component", "variant", "attack"]
LABELS = {"asr": "ASR (%)", "pre_asr": "pre-ASR (%)", "fid": "FID (judge features)", "clip": "CLIP score"}


def read(name: str) -> pd.DataFrame:
    """``reported.csv`` or ``claims.csv``, all but numbers as text."""
    return pd.read_csv(HERE / name, dtype={"table": str, "item": str, "id": str}, keep_default_na=False)


def tables() -> list[str]:
    """Names of the tables that a notebook regenerates."""
    return ["3"]


def reproduce(study: Study, table: str) -> pd.DataFrame:
    """One row for each cell of ``reported.csv`` in ``table``, computed or read from the store."""
    choose("table", table, tables())
    reported = read("reported.csv")
    cells = reported[reported.table == table].to_dict("records")
    tasks = [(study.profile, Cell(*(cell[field] for field in ("concept", "method", "component", "attack", "metric")))) for cell in cells]
    compute(tasks, study.store, f"table {table}")
    rows: list[dict[Any, Any]] = []
    for cell in cells:
        where = (cell["concept"], cell["method"], cell["component"])
        estimate, key = study.estimate(*where, cell["attack"], cell["metric"])
        values = {"reported": cell["value"], "reproduced": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
        stand_in = f"{cell['concept']} ({study.concept(cell['concept']).name})"
        rows.append({**cell, **values, "concept": stand_in, "key": key})
    return pd.DataFrame(rows)[COLUMNS]


def pre_asr(study: Study, frame: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Success without attack of each row's model, as text; the paper's tables do not have it."""
    models = frame[["concept", "method", "component"]].drop_duplicates()
    out = {}
    for concept, method, component in models.itertuples(index=False):
        estimate, _ = study.estimate(concept.split(" (")[0], method, component, "UnlearnDiffAtk", "pre_asr")
        out[(method, component)] = f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"
    return out


def layout(frame: pd.DataFrame, extra: dict[tuple[str, str], str] | None = None) -> pd.DataFrame:
    """The paper's layout: a row a model, a column a metric, each cell ``reported | reproduced [low, high]``."""
    wide: dict[tuple[str, str], dict[str, str]] = {}
    for cell in frame.to_dict("records"):
        digits = 3 if cell["metric"] == "clip" else 1
        low, high = f"{cell['low']:.{digits}f}", f"{cell['high']:.{digits}f}"
        text = f"{cell['reported']:g} | {cell['reproduced']:.{digits}f} [{low}, {high}]"
        wide.setdefault((cell["method"], cell["component"]), {})[LABELS[cell["metric"]]] = text
    rows = []
    for (method, component), cells in wide.items():
        before = {LABELS["pre_asr"]: extra[(method, component)]} if extra else {}
        rows.append({"DM": method, "Optimised component": component or "N/A"} | before | cells)
    return pd.DataFrame(rows)


def side(text: str, item: str, metric: str) -> dict[str, str]:
    """The cell of ``reported.csv`` that one side of a claim means; empty fields match anything."""
    wanted = dict(zip(PLACE, text.split("|"), strict=True))
    cells = read("reported.csv")
    cells = cells[(cells.table == item) & (cells.metric == metric)]
    for field, value in wanted.items():
        cells = cells[cells[field] == value] if value else cells
    if len(cells) != 1:
        raise ValueError(f"{len(cells)} cells of table {item} match {text!r}, not one")
    return {field: str(cells.iloc[0][field]) for field in PLACE}


def verdict(left: dict[str, Any], relation: str, right: dict[str, Any]) -> str:
    """holds or fails where the 95 % intervals are apart, else undecided."""
    smaller, larger = (left, right) if relation == "<" else (right, left)
    if smaller["high"] < larger["low"]:
        return "holds"
    return "fails" if smaller["low"] > larger["high"] else "undecided"


def claims(frame: pd.DataFrame) -> pd.DataFrame:
    """All claims of the paper whose both sides are cells of ``frame``."""
    ours = frame.assign(concept=frame.concept.str.replace(r" \(.*\)$", "", regex=True))
    rows = []
    for claim in read("claims.csv").to_dict("records"):
        if claim["item"].startswith("Fig") or set(claim["left"].split("|")[:1]) - set(ours.concept):
            continue
        found = []
        for text in (claim["left"], claim["right"]):
            where = side(text, claim["item"], claim["metric"])
            match = ours[(ours[PLACE] == pd.Series(where)).all(axis=1) & (ours.metric == claim["metric"])]
            found += match.to_dict("records")
        if len(found) == 2:
            left, right = found
            judged = {"verdict": verdict(left, claim["relation"], right), "left": left["reproduced"], "right": right["reproduced"]}
            bounds = {f"{name}_{end}": cell[end] for name, cell in (("left", left), ("right", right)) for end in ("low", "high")}
            reported = f"{claim['reported_left']:g} {claim['relation']} {claim['reported_right']:g}"
            rows.append({"id": claim["id"], "meaning": claim["meaning"], "metric": claim["metric"], "reported": reported} | judged | bounds)
    return pd.DataFrame(rows)


def write(frame: pd.DataFrame, pretty: pd.DataFrame, folder: Path, name: str, stamp: str) -> None:
    """``<name>.csv``, ``.md`` and ``.tex`` in ``folder``; the stamp says commit, profile and seed."""
    contents = {
        "csv": frame.to_csv(index=False),
        "md": f"{pretty.to_markdown(index=False)}\n\n{stamp}\n",
        "tex": f"% {stamp}\n{pretty.to_latex(index=False, escape=True)}",
    }
    for suffix, text in contents.items():
        with atomic(folder / f"{name}.{suffix}") as temporary:
            temporary.write_text(text)
