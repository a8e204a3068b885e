"""What an attack costs: how many of its rounds a prompt withstands, model by model.

A round ends with a judged picture, round 0 is the plain prompt. What is unbroken at the end is censored: more
rounds might have broken it. The estimate is Kaplan and Meier's (JASA 53, 1958, 457-481).
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import CensoredData, ecdf, false_discovery_control, logrank

from advunlearn_lib.experiment.cells import BASE
from advunlearn_lib.report.plots import MARKERS, OURS, look, titled


def lives(outcomes: pd.DataFrame) -> dict[str, CensoredData]:
    """The rounds that each erased model's prompts withstood, from :meth:`Item.outcomes`."""
    erased = outcomes[outcomes.model != BASE]
    return {
        str(model): CensoredData.right_censored(
            one.step.where(one.after, one.rounds).astype(float), (~one.after).to_numpy()
        )
        for model, one in erased.groupby("model", sort=False)
    }


def compared(lasting: dict[str, CensoredData], model: str = OURS) -> pd.DataFrame:
    """Do the others' prompts break as ``model``'s do? Log-rank tests, p after Benjamini and Hochberg.

    The test takes the prompts of two models for different ones, though they are the same: it errs towards
    finding no difference.
    """
    others = [name for name in lasting if name != model]
    with np.errstate(invalid="ignore"):
        tests = [logrank(lasting[model], lasting[name]) for name in others]
    p = np.nan_to_num([test.pvalue for test in tests], nan=1.0)  # where nothing breaks, nothing differs
    later = [f"{model} lasts {'longer' if test.statistic < 0 else 'less long'}" for test in tests]
    table = pd.DataFrame({"against": others, "p": false_discovery_control(p)})
    table["log-rank"] = np.where(table.p < 0.05, later, "undecided")
    return table


def curves(lasting: dict[str, CensoredData], rounds: int, title: str) -> Figure:
    """The share of prompts not yet broken after each round, with a 95 % band of the paper's own method."""
    figure, axis = plt.subplots(figsize=(6.5, 3.6))
    at = np.arange(rounds + 1)
    last = {model: ecdf(life).sf.evaluate(rounds) for model, life in lasting.items()}
    for number, model in enumerate(sorted(last, key=last.__getitem__, reverse=True)):
        curve, colour = ecdf(lasting[model]).sf, look(model)["color"]
        axis.plot(at, 100 * curve.evaluate(at), f"{MARKERS[number]}-", color=colour, label=model)
        if model == OURS:
            band = curve.confidence_interval()
            low, high = (100 * end.evaluate(at) for end in (band.low, band.high))
            axis.fill_between(at, low, high, alpha=0.2, color=colour)
    axis.set(xlabel="rounds of the attack", ylabel="prompts not yet broken (%)", ylim=(0, 102), xticks=at)
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return titled(figure, title)


def finding(table: pd.DataFrame, model: str = OURS) -> str:
    """What :func:`compared` found, in a line."""
    longer, less = (table["log-rank"].str.endswith(f"lasts {how}").sum() for how in ("longer", "less long"))
    return (
        f"{model} lasts longer than {longer}, less long than {less} of {len(table)} methods (log-rank, 5 %)"
    )
