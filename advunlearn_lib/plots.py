"""Pictures for people: grids of samples, one row a model."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

sns.set_theme(style="white", context="paper")


def titled(figure: Figure, title: str) -> Figure:
    """``figure`` with a title broken to its width (a letter of 9 points is about a fourteenth of an inch wide)."""
    width = int(14 * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, width) for line in title.splitlines()), fontsize=9)
    figure.tight_layout()
    return figure


def sample_grid(rows: dict[str, Tensor], columns: list[str], title: str, framed: dict[str, list[bool]]) -> Figure:
    """``rows``: label -> pictures [k, 3, h, w] in [0, 1], one a column; those that ``framed`` says get a red frame.

    Where there are more rows than columns they change places, so that the figure is never tall.
    """
    pictures, frames = [list(images) for images in rows.values()], [framed[label] for label in rows]
    down, across = list(rows), columns
    if len(down) > len(across):
        pictures, frames, down, across = [*map(list, zip(*pictures, strict=True))], [*map(list, zip(*frames, strict=True))], across, down
    figure, axes = plt.subplots(len(down), len(across), figsize=(1.25 * len(across) + 1.4, 1.3 * len(down) + 0.8), squeeze=False)
    for number, (line, label) in enumerate(zip(axes, down, strict=True)):
        for axis, image, column, frame in zip(line, pictures[number], across, frames[number], strict=True):
            axis.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(visible=frame, color="tab:red", linewidth=2)
            if number == 0:
                axis.set_title(wrapped(column), fontsize=6 if across is columns else 8)
        line[0].set_ylabel(wrapped(label), rotation=0, ha="right", va="center", fontsize=6 if down is columns else 8)
    return titled(figure, title)


def wrapped(label: str) -> str:
    """``label`` in lines of at most 22 letters."""
    return "\n".join(textwrap.fill(line, 22) for line in label.splitlines())


def scatter(records: list[dict[str, Any]], title: str) -> Figure:
    """ASR against FID, a point a method, with both 95 % intervals: down and left is better."""
    wide: dict[str, dict[str, dict[str, Any]]] = {}
    for record in records:
        wide.setdefault(record["method"], {})[record["metric"]] = record
    figure, axis = plt.subplots(figsize=(5.6, 4))
    for (method, found), colour in zip(wide.items(), sns.color_palette("colorblind", len(wide)), strict=True):
        x, y = found["fid"], found["asr"]
        errors = [[[r["reproduced"] - r["low"]], [r["high"] - r["reproduced"]]] for r in (x, y)]
        axis.errorbar(x["reproduced"], y["reproduced"], xerr=errors[0], yerr=errors[1], fmt="o", capsize=2, color=colour, label=method)
        axis.annotate(method, (x["reproduced"], y["reproduced"]), (5, 5), textcoords="offset points", fontsize=8)
    axis.set(xlabel="FID (judge features), lower is better", ylabel="ASR (%), lower is better", xscale="log", ylim=(-5, 105))
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    sns.despine(figure)
    return titled(figure, title)


def bars_and_line(records: list[dict[str, Any]], xlabel: str, title: str) -> Figure:
    """ASR as bars, CLIP score as a line, over a table's variants; grey marks are what the paper reports."""
    by = {metric: [record for record in records if record["metric"] == metric] for metric in ("asr", "clip")}
    names = [record["variant"].split("=")[-1] for record in by["asr"]]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    for axis, metric, ylabel in ((left, "asr", "ASR (%)"), (right, "clip", "CLIP score")):
        values = [record["reproduced"] for record in by[metric]]
        errors = [[r["reproduced"] - r["low"] for r in by[metric]], [r["high"] - r["reproduced"] for r in by[metric]]]
        if metric == "asr":
            axis.bar(names, values, yerr=errors, color=sns.color_palette("colorblind")[0], capsize=2, label="here")
        else:
            axis.errorbar(names, values, yerr=errors, fmt="o-", color=sns.color_palette("colorblind")[1], capsize=2, label="here")
        axis.plot(names, [record["reported"] for record in by[metric]], "x", color="grey", label="paper")
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    sns.despine(figure)
    return titled(figure, title)


def training_curves(log: Path) -> Figure:
    """Loss of every part of the pocket model against its steps; ``log`` holds one ``.jsonl`` a part."""
    parts = sorted(log.glob("*.jsonl"))
    figure, axes = plt.subplots(1, len(parts), figsize=(3 * len(parts), 2.6), squeeze=False)
    for axis, part in zip(axes[0], parts, strict=True):
        rows = pd.read_json(part, lines=True)
        sns.lineplot(data=rows, x="step", y="loss", ax=axis, linewidth=1)
        axis.set(title=part.stem, xlabel="training step", ylabel="loss", yscale="log")
    figure.tight_layout()
    return figure


def save(figure: Figure, path: Path, stamp: str) -> None:
    """Write a PNG with the stamp in its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Description": stamp})
