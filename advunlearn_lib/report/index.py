"""What there is of every notebook: computed here, published, or not yet, and what came out.

All of it is read from files, without torch: the notebooks, and what their runs left in ``figures/``: a page,
or, where a notebook was run in JupyterLab, its pictures.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from datetime import datetime
from pathlib import Path

from tabulate import tabulate

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.report.folders import published_folder, results_folder
from advunlearn_lib.report.items import BEYOND, FIGURES, ITEMS, TABLES

NOTEBOOKS = ROOT / "notebooks"
OURS = "AdvUnlearn"


def index(profile: str = "pocket") -> str:
    """A Markdown table with a line a notebook; its links lead from ``notebooks/``."""
    tour, *others = BEYOND
    items = sorted(ITEMS, key=lambda name: (name.startswith("figure"), name))
    return tabulate([line(name, profile) for name in (tour, *items, *others)], "keys", "github")


def line(name: str, profile: str) -> dict[str, str]:
    """Its notebook, what there is of it, when or by which commit, and the main result of the newest."""
    published = published_folder(profile) / f"{name}.html"
    pages = {"computed": computed(name, results_folder(profile)), "published": published}
    there = {state: page for state, page in pages.items() if page.exists()}
    newest = next(iter(there.values()), None)
    return {
        "notebook": f"[{name}]({name}.ipynb)",
        "about": title(name),
        "state": ", ".join(f"[{state}]({link(page)})" for state, page in there.items()) or "not yet",
        "when": "" if newest is None else when(newest),
        "main result": "" if newest is None else main_result(name, newest.parent),
    }


def computed(name: str, folder: Path) -> Path:
    """A run's page, whether or not there is one; of a run that left pictures alone the last of them."""
    page = folder / f"{name}.html"
    pictures = [] if page.exists() else folder.glob(f"{name}[.-]*png")
    return max(pictures, key=lambda picture: picture.stat().st_mtime_ns, default=page)


def title(name: str) -> str:
    """The first heading of a notebook."""
    found = re.search(r"^# # (.+)$", (NOTEBOOKS / f"{name}.py").read_text(), re.MULTILINE)
    return found[1] if found else name


def link(page: Path) -> str:
    """``page`` as seen from a notebook."""
    return Path(os.path.relpath(page, NOTEBOOKS)).as_posix()


def when(page: Path) -> str:
    """When a page was computed here; of a published one, whose date a clone forgets, the code's commit."""
    if page.parent == results_folder(page.parent.name):
        return f"{datetime.fromtimestamp(page.stat().st_mtime):%Y-%m-%d %H:%M}"
    found = re.search(r"commit [0-9a-f]{10}\+?", page.read_text())
    return found[0] if found else ""


def main_result(name: str, folder: Path) -> str:
    """Which of its claims hold, where they were judged, and how AdvUnlearn's models stand the attack."""
    if name in FIGURES:
        return f"pictures of the models of Table {FIGURES[name]}"
    said = [verdicts(TABLES[name], folder), attacked(folder / f"{name}.json")] if name in TABLES else []
    return "; ".join(filter(None, said))


def verdicts(table: str, folder: Path) -> str:
    """``3 of 4 claims hold``, from ``claims.csv``."""
    if not (folder / "claims.csv").exists():
        return ""
    with (folder / "claims.csv").open(newline="", encoding="utf-8") as file:
        ids = f"{table.replace(' ', '')}."
        counts = Counter(claim["verdict"] for claim in csv.DictReader(file) if claim["id"].startswith(ids))
    return f"{counts['holds']} of {counts.total()} claims hold" if counts else ""


def attacked(numbers: Path) -> str:
    """The attack success rates of AdvUnlearn's models, from the least to the most, and the paper's."""
    cells = json.loads(numbers.read_text())["cells"]
    rates = [cell for cell in cells if cell["metric"] == "asr" and cell["method"] == OURS]
    if not rates:
        return ""
    here, paper = (span([cell[which] for cell in rates]) for which in ("reproduced", "reported"))
    return f"{OURS}: ASR {here} % (paper: {paper} %)"


def span(values: list[float]) -> str:
    """``26.1`` or ``26.1 to 39.4``."""
    return " to ".join(dict.fromkeys(f"{value:.1f}" for value in (min(values), max(values))))
