"""Pictures for people: grids of samples, one row a model; ASR against FID; bars over a table's variants."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import PIL.Image
import seaborn as sns
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from advunlearn_lib.experiment.cells import BASE
from advunlearn_lib.report.reported import Result
from advunlearn_lib.report.tables import arranged, column_text, head_text, metric_label

RC = {"pdf.fonttype": 42, "axes.spines.top": False, "axes.spines.right": False, "text.parse_math": False}
sns.set_theme(style="white", context="paper", rc=RC)
OURS = "AdvUnlearn"  # the paper's own method
MARKERS = "os^vDPX<>"  # so that methods are told apart without colours, too


def titled(figure: Figure, title: str) -> Figure:
    """``figure`` with a title broken to its width.

    A letter of 9 points is about a fourteenth of an inch wide.
    """
    width = int(14 * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, width) for line in title.splitlines()), fontsize=9)
    figure.tight_layout()
    return figure


def sample_grid(
    rows: Mapping[str, Tensor],
    columns: Sequence[str],
    title: str,
    framed: Mapping[str, Sequence[bool]],
    under: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """A grid of pictures, one a column.

    ``rows``: label -> pictures [k, 3, h, w] in [0, 1]; those that ``framed`` says get a red frame, ``under``
    is what is written below each. Where there are more rows than columns they change places, so that the
    figure is never tall.
    """
    nothing = [""] * len(columns)
    cells = [
        list(zip(images, framed[label], (under or {}).get(label, nothing), strict=True))
        for label, images in rows.items()
    ]
    down, across, turned = list(rows), list(columns), len(rows) > len(columns)
    if turned:
        cells = [list(column) for column in zip(*cells, strict=True)]
        down, across = across, down
    size = (1.25 * len(across) + 1.4, 1.3 * len(down) + 1.1)
    figure, axes = plt.subplots(len(down), len(across), figsize=size, squeeze=False)
    small, large = (8, 6) if turned else (6, 8)
    for y, line in enumerate(axes):
        for axis, (image, frame, text) in zip(line, cells[y], strict=True):
            axis.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="none")
            axis.set(xticks=[], yticks=[])
            axis.set_xlabel(wrapped(text), fontsize=5, labelpad=2)
            axis.spines[:].set(visible=frame, color="tab:red", linewidth=2)
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
    for number, (method, metrics) in enumerate(methods.items()):
        fid, asr = metrics["fid"], metrics["asr"]
        place = (fid.reproduced, asr.reproduced)
        sign = "*" if method == OURS else MARKERS[number % len(MARKERS)]
        marks = look(method, 12) | {"fmt": sign, "capsize": 2, "label": method}
        axis.errorbar(*place, xerr=error_bars([fid]), yerr=error_bars([asr]), **marks)
        weight = "bold" if method == OURS else "normal"
        axis.annotate(method, place, (6, 5), textcoords="offset points", fontsize=8, weight=weight)
    against_fid(axis, f"{metric_label('fid', fid_features)}, lower is better")
    axis.set_ylabel("ASR (%), lower is better")
    return titled(figure, title)


def against_fid(axis: Axes, label: str) -> None:
    """Rates in % over FID, which runs over decades."""
    axis.set(xlabel=label, xscale="log", ylim=(-5, 105))
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


def look(method: str, size: float = 7) -> dict[str, Any]:
    """The paper's own method is dark and large, the untouched model black, the others between."""
    colour = {OURS: "#b2182b", BASE: "black"}.get(method, "#4878a8")
    return {"color": colour, "markersize": size if method == OURS else 5}


def dots(results: Sequence[Result], fid_features: str, title: str) -> Figure:
    """What the paper reports, hollow, beside ours with its interval: a panel a column of the table."""
    across, varying = arranged(results)
    heads = [tuple(head_text(result, field) for field in varying) for result in results]
    lines = {head: place for place, head in enumerate(dict.fromkeys(heads))}
    panels: dict[str, list[tuple[int, Result]]] = {}
    for head, result in zip(heads, results, strict=True):
        panels.setdefault(column_text(result, across, fid_features), []).append((lines[head], result))
    width = min(3, len(panels))
    height = -(-len(panels) // width)
    size = (2.4 * width + 1.6, height * (0.26 * len(lines) + 0.6) + 0.7)
    figure, axes = plt.subplots(height, width, figsize=size, sharey=True, squeeze=False)
    for axis, (label, shown) in zip(axes.flat, panels.items(), strict=False):
        for place, result in shown:
            axis.errorbar(
                result.reproduced, place, xerr=error_bars([result]), fmt="o", capsize=2, **look(result.method)
            )
            if result.reported is not None:
                axis.plot(result.reported, place, "D", color="0.2", mfc="none", markersize=8, zorder=5)
        names = [" · ".join(filter(lambda part: part != "N/A", head)) for head in lines]
        axis.set(yticks=range(len(lines)), yticklabels=names, xlabel=label)
        axis.grid(axis="y", color="0.9")
        axis.margins(x=0.08)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    axes[0, 0].set_ylim(len(lines) - 0.5, -0.5)
    sns.despine(figure, left=True)
    return titled(figure, f"{title}\n\u25c7 the paper   \u25cf here, 95 % interval")


def error_bars(results: Sequence[Result]) -> list[list[float]]:
    """Distances to the interval's ends, as matplotlib takes them: all below, all above."""
    return [[r.reproduced - r.low for r in results], [r.high - r.reproduced for r in results]]


def bars_and_line(results: Sequence[Result], labels: Mapping[str, str], xlabel: str, title: str) -> Figure:
    """ASR as bars, CLIP score as a line, over a table's variants; hollow marks are what the paper reports.

    ``labels``: what stands under each variant.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    for axis, metric in ((left, "asr"), (right, "clip")):
        shown = [result for result in results if result.metric == metric]
        names, values = [labels[result.variant] for result in shown], [result.reproduced for result in shown]
        marks = {"yerr": error_bars(shown), "capsize": 2, "label": "here"}
        if metric == "asr":
            axis.bar(names, values, color="#4878a8", **marks)
        else:
            axis.errorbar(names, values, fmt="o-", color="#4878a8", **marks)
        paper = [result.reported for result in shown]
        axis.plot(names, paper, "D", color="0.2", mfc="none", label="paper")
        axis.set(xlabel=xlabel, ylabel=metric_label(metric, ""))
        axis.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    return titled(figure, title)


def save(figure: Figure, path: Path, stamp: str) -> None:
    """Write ``path``, a PNG of 128 colours, and beside it a PDF, both with the stamp in their metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = PngInfo()
    said.add_text("Description", stamp)
    drawn(figure, 150).save(path, pnginfo=said, optimize=True)
    figure.savefig(path.with_suffix(".pdf"), metadata={"Subject": stamp, "CreationDate": None})


def shown(figure: Figure, file: str) -> Image:
    """``figure`` as a notebook shows it: a small PNG, its title for those who cannot see it; it is closed.

    A page of the notebook shows ``file`` instead, which lies beside it (:mod:`~advunlearn_lib.report.page`).
    """
    small = io.BytesIO()
    drawn(figure, 90).save(small, "png", optimize=True)
    plt.close(figure)
    said = {"alt": " ".join(figure.get_suptitle().split()), "width": round(96 * figure.get_figwidth())}
    return Image(small.getvalue(), **said, metadata={"file": file})


def drawn(figure: Figure, dpi: int, colours: int = 128) -> PIL.Image.Image:
    """``figure`` in so many colours."""
    pixels = io.BytesIO()
    figure.savefig(pixels, dpi=dpi)
    return PIL.Image.open(pixels).convert("RGB").quantize(colours, dither=PIL.Image.Dither.NONE)
