r"""May the small world be trusted? How often it ranks two models as the paper does.

Decision accuracy (DataDecide, Magnusson et al., ICML 2025): over all pairs of models in one column of a
table, the share whose order here is the paper's,

    accuracy = mean over pairs (i, j) of  1[ sign(y_i - y_j) = sign(x_i - x_j) ]

x the paper's numbers, y ours; 50 % is chance. A pair that the paper ties says nothing and is left out; a tie
here is half right. Pairs share models, so the interval is a bootstrap over models: each is drawn anew, within
its column, and a pair counts as often as both of its models were drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advunlearn_lib.experiment.cells import BASE
from advunlearn_lib.profiles.schema import Profile
from advunlearn_lib.report import plots
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.reported import Result, reproduce
from advunlearn_lib.report.run_all import tables_at_hand
from advunlearn_lib.report.tables import METRICS

RESAMPLES = 2000
CHANCE = 50.0
AT_HAND = ("1", "2", "3", "4", "5", "7", "Fig 8")  # the tables computed when the prediction was made
COLUMN = ["table", "concept", "attack", "metric"]
SIDES = ("left", "right")


def pairs(results: Sequence[Result], profile: Profile) -> pd.DataFrame:
    """A row a pair of erased models in one column of a table: the differences left - right.

    Two numbers that several tables show together are one pair. ``tuned``: both are methods at settings that
    were chosen on the validation concepts; the others vary one setting around them, which nobody chose.
    Success rates, FID and CLIP score alone.
    """
    columns: dict[tuple[str, ...], list[Result]] = {}
    chosen: dict[tuple[str, frozenset[str]], dict[str, object]] = {}
    for result in results:
        if result.method != BASE and result.reported is not None and result.metric in ("asr", "fid", "clip"):
            columns.setdefault(tuple(getattr(result, name) for name in COLUMN), []).append(result)
    for column, models in columns.items():
        for one, other in combinations(models, 2):
            paper, here = (one.reported or 0) - (other.reported or 0), one.reproduced - other.reproduced
            row: dict[str, object] = dict(zip(COLUMN, column, strict=True))
            row |= {"kind": profile.concepts[one.concept].kind, "left": name(one), "right": name(other)}
            row |= {"paper": paper, "here": here, "tuned": not (one.variant or other.variant)}
            if paper:
                chosen.setdefault((one.metric, frozenset((one.key, other.key))), row)
    found = pd.DataFrame(chosen.values(), columns=[*COLUMN, "kind", *SIDES, "paper", "here", "tuned"])
    found["right order"] = np.where(found.here == 0, 0.5, np.sign(found.here) == np.sign(found.paper))
    return found


def results_at_hand(run: Run) -> list[Result]:
    """The numbers of all tables that the store holds whole; nothing is computed.

    Raises :class:`UserError` where there is none.
    """
    return [result for table in tables_at_hand(run) for result in reproduce(run.studies, table)]


def name(result: Result) -> str:
    """A model as a pair names it: ``ESD, UNet``."""
    return ", ".join(filter(None, (result.method, result.component, result.variant)))


def accuracy(found: pd.DataFrame, by: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Decision accuracy in % with its 95 % interval, a row for each value of the columns ``by``."""
    rows = []
    for values, group in found.groupby(list(by), sort=False):
        low, high = interval(group, seed)
        share = {"accuracy (%)": 100 * group["right order"].mean(), "low": low, "high": high}
        rows.append(dict(zip(by, values, strict=True)) | share | {"pairs": len(group)})
    return pd.DataFrame(rows)


def interval(group: pd.DataFrame, seed: int = 0) -> tuple[float, float]:
    """The bootstrap over models, each column of a table by itself; resamples without a pair are left out."""
    rng = np.random.default_rng(seed)
    right, count = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for _, column in group.groupby(COLUMN, sort=False):
        models = sorted({*column.left, *column.right})
        drawn = rng.multinomial(len(models), np.full(len(models), 1 / len(models)), RESAMPLES)
        left, other = (drawn[:, [models.index(one) for one in column[side]]] for side in SIDES)
        weights = left * other
        right += weights @ column["right order"].to_numpy(float)
        count += weights.sum(1)
    low, high = np.quantile(100 * right[count > 0] / count[count > 0], [0.025, 0.975])
    return float(low), float(high)


def plot(shares: pd.DataFrame, label: str, stamp: str) -> Figure:
    """Accuracy by metric, a dot a value of the column ``label``, with its interval; chance is marked."""
    values = list(dict.fromkeys(shares[label]))
    metrics = [metric for metric in ("asr", "fid", "clip") if metric in set(shares.metric)]
    figure, axis = plt.subplots(figsize=(6.5, 0.7 * len(metrics) + 1.4))
    for number, value in enumerate(values):
        for row in shares[shares[label] == value].itertuples(index=False):
            line = dict(zip(shares.columns, row, strict=True))
            y = metrics.index(line["metric"]) + 0.5 * (number + 0.5) / len(values) - 0.25
            colour = f"C{number}"
            axis.plot([line["low"], line["high"]], [y, y], color=colour)
            axis.plot(line["accuracy (%)"], y, plots.MARKERS[number], color=colour)
            axis.annotate(f" {line['pairs']}", (line["high"], y), fontsize=7, va="center", color="grey")
        axis.plot([], [], f"{plots.MARKERS[number]}-", color=f"C{number}", label=str(value))
    axis.axvline(CHANCE, color="grey", linewidth=0.8, linestyle=":")
    labels = [METRICS.get(metric, "FID") for metric in metrics]
    axis.set(
        yticks=range(len(metrics)), yticklabels=labels, xlim=(0, 104), xlabel="pairs in the paper's order (%)"
    )
    axis.invert_yaxis()
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return plots.titled(figure, f"Which pairs of models the small world ranks as the paper does\n{stamp}")
