"""What erasing moves besides the concept: pictures of other things, readings of other prompts."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from advunlearn_lib.experiment.cells import BASE, Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import bootstrap_mean
from advunlearn_lib.report.item import Results
from advunlearn_lib.report.plots import look, titled

CAPTIONS = 8  # of held-out pictures, drawn by each model


def pictures(item: Results, count: int = CAPTIONS) -> pd.DataFrame:
    """How far each erased model's pictures of ``count`` captions without the concept are from the original's.

    A line a picture: model, method, caption, change, the mean difference of its pixels in % of their range.
    """
    study, parts = item.study, []
    captions_without = functools.cache(study.captions)
    for row in item.rows():
        if row.method == BASE:
            continue
        captions = captions_without(study.protocol.quality(row).avoid)[:count]
        asked = [one.text for one in captions], [one.seed for one in captions]
        drawn, before = (study.pictures(one, *asked) for one in (row, Row(row.concept, BASE)))
        change = 100 * (drawn - before).abs().mean((1, 2, 3)).numpy()
        columns = {"model": item.label(row), "method": row.method, "caption": asked[0], "change": change}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def readings(study: Study, row: Row, prompts: Sequence[str]) -> pd.Series:
    """How far from the original's an erased encoder's reading of each prompt is: 1 - cosine of all states."""

    def make() -> dict[str, Tensor]:
        models = study.model(row), study.base()
        after, before = (model.encode_prompts(prompts).flatten(1) for model in models)
        return {"moved": (1 - torch.cosine_similarity(after, before)).cpu()}

    recipe = {"model": study.protocol.model(row).recipe, "prompts": list(prompts)}
    return pd.Series(study.store.tensors("readings", recipe, make)["moved"].numpy(), list(prompts))


def figure(changes: pd.DataFrame, title: str) -> Figure:
    """A line a model: the mean change of its pictures with its 95 % interval, the least first."""
    groups = sorted(changes.groupby("model"), key=lambda group: group[1].change.mean())
    drawing, axis = plt.subplots(figsize=(5.6, 0.28 * len(groups) + 1.2))
    for place, (_, one) in enumerate(groups):
        mean = bootstrap_mean(one.change.to_numpy(np.float64))
        reach = [[mean.value - mean.low], [mean.high - mean.value]]
        axis.errorbar(mean.value, place, xerr=reach, fmt="o", capsize=2, **look(one.method.iloc[0]))
    axis.set(yticks=range(len(groups)), yticklabels=[model for model, _ in groups])
    axis.set(xlabel="change of pictures of other things (% of pixels' range)", ylim=(len(groups) - 0.5, -0.5))
    return titled(drawing, title)


def finding(changes: pd.DataFrame) -> str:
    """Which model changes other things least and most."""
    means = changes.groupby("model").change.mean().sort_values()
    least, most = (f"{means.index[end]} ({means.iloc[end]:.1f} %)" for end in (0, -1))
    return f"Other things change least in {least}, most in {most}"
