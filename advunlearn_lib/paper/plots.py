"""Pictures for people: grids of samples, one row a model; ASR against FID; bars over a table's variants."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from advunlearn_lib.paper.reported import Result
from advunlearn_lib.paper.tables import metric_label

sns.set_theme(style="white", context="paper")


def titled(figure: Figure, title: str) -> Figure:
    """``figure`` with a title broken to its width.

    A letter of 9 points is about a fourteenth of an inch wide.
    """
    width = int(14 * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, width) for line in title.splitlines()), fontsize=9)
    figure.tight_layout()
    return figure


def sample_grid(
    rows: Mapping[str, Tensor], columns: Sequence[str], title: str, framed: Mapping[str, Sequence[bool]]
) -> Figure:
    """A grid of pictures, one a column.

    ``rows``: label -> pictures [k, 3, h, w] in [0, 1]; those that ``framed`` says get a red frame.
    Where there are more rows than columns they change places, so that the figure is never tall.
    """
    pictures, frames = [list(images) for images in rows.values()], [list(framed[label]) for label in rows]
    down, across, turned = list(rows), list(columns), len(rows) > len(columns)
    if turned:
        pictures = [list(column) for column in zip(*pictures, strict=True)]
        frames = [list(column) for column in zip(*frames, strict=True)]
        down, across = across, down
    size = (1.25 * len(across) + 1.4, 1.3 * len(down) + 0.8)
    figure, axes = plt.subplots(len(down), len(across), figsize=size, squeeze=False)
    small, large = (8, 6) if turned else (6, 8)
    for y, line in enumerate(axes):
        for x, axis in enumerate(line):
            axis.imshow(pictures[y][x].permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set(visible=frames[y][x], color="tab:red", linewidth=2)
        line[0].set_ylabel(wrapped(down[y]), rotation=0, ha="right", va="center", fontsize=large)
    for axis, head in zip(axes[0], across, strict=True):
        axis.set_title(wrapped(head), fontsize=small)
    return titled(figure, title)


def wrapped(label: str) -> str:
    """``label`` in lines of at most 22 letters."""
    return "\n".join(textwrap.fill(line, 22) for line in label.splitlines())


def scatter(results: Sequence[Result], fid_features: str, title: str) -> Figure:
    """ASR against FID, a point a method, with both 95 % intervals: down and left is better."""
    methods: dict[str, dict[str, Result]] = {}
    for result in results:
        methods.setdefault(result.method, {})[result.metric] = result
    figure, axis = plt.subplots(figsize=(5.6, 4))
    colours = sns.color_palette("colorblind", len(methods))
    for (method, metrics), colour in zip(methods.items(), colours, strict=True):
        fid, asr = metrics["fid"], metrics["asr"]
        place = (fid.reproduced, asr.reproduced)
        marks = {"fmt": "o", "capsize": 2, "color": colour, "label": method}
        axis.errorbar(*place, xerr=error_bars([fid]), yerr=error_bars([asr]), **marks)
        axis.annotate(method, place, (5, 5), textcoords="offset points", fontsize=8)
    label = metric_label("fid", fid_features)
    axis.set(
        xlabel=f"{label}, lower is better", ylabel="ASR (%), lower is better", xscale="log", ylim=(-5, 105)
    )
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    sns.despine(figure)
    return titled(figure, title)


def error_bars(results: Sequence[Result]) -> list[list[float]]:
    """Distances to the interval's ends, as matplotlib takes them: all below, all above."""
    return [[r.reproduced - r.low for r in results], [r.high - r.reproduced for r in results]]


def bars_and_line(results: Sequence[Result], labels: Mapping[str, str], xlabel: str, title: str) -> Figure:
    """ASR as bars, CLIP score as a line, over a table's variants; grey marks are what the paper reports.

    ``labels``: what stands under each variant.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    blue, orange = sns.color_palette("colorblind")[:2]
    for axis, metric in ((left, "asr"), (right, "clip")):
        shown = [result for result in results if result.metric == metric]
        names, values = [labels[result.variant] for result in shown], [result.reproduced for result in shown]
        if metric == "asr":
            axis.bar(names, values, yerr=error_bars(shown), color=blue, capsize=2, label="here")
        else:
            axis.errorbar(
                names, values, yerr=error_bars(shown), fmt="o-", color=orange, capsize=2, label="here"
            )
        axis.plot(names, [result.reported for result in shown], "x", color="grey", label="paper")
        axis.set(xlabel=xlabel, ylabel=metric_label(metric, ""))
        axis.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    sns.despine(figure)
    return titled(figure, title)


def save(figure: Figure, path: Path, stamp: str) -> None:
    """Write a PNG with the stamp in its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Description": stamp})
