"""What each deviation of the official codes does to robustness and image quality: ``notebooks/deviations``.

Every row is one model, or one attack, with one thing changed, to be compared with its method's usual row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.samples import compare_cells
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import bootstrap_mean
from advunlearn_lib.profiles.schema import AttackKey, MethodKey, Profile
from advunlearn_lib.report import plots
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.tables import interval, metric_label

CONCEPT = "nudity"
ATTACK = AttackKey("UnlearnDiffAtk")
METRICS = ("pre_asr", "asr", "fid", "clip")
COMPARED = ("asr", "fid")
SMALL_AND_LARGE = (-100, -10, 0, 10, 100)  # changes of FID that are marked
USUAL = "usual"
OFFICIAL = ("word_count", "drop_last_update", "accumulate_gradients", "adam_attack", "noise_level_mismatch")


class Deviation(NamedTuple):
    """One change: ``options`` of the method, ``budget`` of the attack, or ``settings`` of the profile."""

    method: str
    component: str
    what: str
    options: Mapping[str, Any] = {}
    budget: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}


def quirk(method: str, component: str, *names: str) -> Deviation:
    """A method with official quirks."""
    return Deviation(method, component, " + ".join(names), {"quirks": sorted(names)})


ENCODER = ("AdvUnlearn", "Text Encoder")
RESEEDED = {"quirks": ["reseeded_evaluation"]}
DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(*ENCODER, USUAL),
    *(quirk(*ENCODER, name) for name in (*OFFICIAL, "separate_retain_step")),
    quirk(*ENCODER, *OFFICIAL)._replace(what="the first five together"),
    Deviation(*ENCODER, "plain gradients in the attack", {"attack_step": "gradient"}),
    Deviation(*ENCODER, "one sampling path for attack and loss", {"same_path": True}),
    Deviation(*ENCODER, "one sampling path a retain prompt", {"retain_per_prompt": 1}),
    Deviation(*ENCODER, "eight sampling paths a retain prompt", {"retain_per_prompt": 8}),
    Deviation(*ENCODER, 'the original encoder for ""', settings={"unconditional": "original"}),
    Deviation("ESD", "UNet", USUAL),
    quirk("ESD", "UNet", "noise_level_mismatch"),
    Deviation("ESD", "UNet", "reseeded_evaluation of the attack", budget=RESEEDED),
    *(Deviation(name, "UNet", USUAL) for name in ("FMN", "UCE", "SPM", "SalUn", "ED", "SH")),
    quirk("FMN", "UNet", "padding_positions"),
    Deviation("UCE", "UNet", "code of 2023", {"version": 2023, "preserve": False, "preserve_scale": None}),
    quirk("SPM", "UNet", "blank_anchors"),
    quirk("SPM", "UNet", "told_timestep"),
    quirk("SalUn", "UNet", "guided_mask"),
    quirk("ED", "UNet", "discarded_inner_loop"),
    quirk("SH", "UNet", "no_projection"),
    quirk("SH", "UNet", "self_attention_only"),
)


def changed(profile: Profile, deviation: Deviation) -> Profile:
    """``profile`` with one deviation."""
    key = MethodKey(deviation.method, deviation.component, profile.concepts[CONCEPT].kind)
    methods = profile.methods | {key: profile.methods[key].changed(**deviation.options)}
    attacks = profile.attacks | {ATTACK: profile.attacks.get(ATTACK, {}) | dict(deviation.budget)}
    return profile.model_copy(update={"methods": methods, "attacks": attacks, **deviation.settings})


def effects(run: Run, deviations: Sequence[Deviation] = DEVIATIONS) -> pd.DataFrame:
    """A row a deviation: success without and with attack, FID and CLIP score, each with its interval.

    Over several seeds the values are means, with a bootstrap interval over the seeds.
    """
    features = run.profile.fid_features
    rows = [row_of(deviation, studies, features) for deviation, studies in measured(run, deviations)]
    return pd.DataFrame(rows).sort_values("method", kind="stable", ignore_index=True)


def measured(run: Run, deviations: Sequence[Deviation]) -> list[tuple[Deviation, list[Study]]]:
    """Each deviation with its studies, one a seed, when the store has all their cells."""
    pairs = [(one, [Study(changed(profile, one)) for profile in run.profiles]) for one in deviations]
    jobs = [
        Job(study.profile, study.protocol.cell(cell))
        for deviation, studies in pairs
        for study in studies
        for cell in cells_of(deviation).values()
    ]
    compute(jobs, run.study.store, "deviations")
    return pairs


def differences(run: Run, deviations: Sequence[Deviation] = DEVIATIONS) -> pd.DataFrame:
    """A row a deviation and metric: the deviation's number less that of its method's usual row.

    By the same prompts or captions, over all seeds; ``apart``: is the difference from 0 more than chance, at
    5 % for each by itself?
    """
    pairs = measured(run, deviations)
    usual = {(one.method, one.component): studies for one, studies in pairs if one.what == USUAL}
    rows = []
    for deviation, studies in pairs:
        for metric in COMPARED if deviation.what != USUAL else ():
            cell = cells_of(deviation)[metric]
            change = compare_cells(cell, studies, cell, usual[deviation.method, deviation.component])
            named = {"method": deviation.method, "deviation": deviation.what, "metric": metric}
            numbers = {"difference": change.value, "low": change.low, "high": change.high, "p": change.p}
            rows.append(named | numbers | {"rule": change.rule, "apart": change.apart()})
    return pd.DataFrame(rows).sort_values("method", kind="stable", ignore_index=True)


def plot_differences(changes: pd.DataFrame, fid_features: str) -> Figure:
    """ASR and FID against the usual row: a dot a deviation with its interval, filled where apart from 0."""
    names = [f"{row.method}: {row.deviation}" for row in changes[changes.metric == "asr"].itertuples()]
    size = (9, 0.3 * len(names) + 1.2)
    figure, axes = plt.subplots(1, len(COMPARED), figsize=size, sharey=True)
    for axis, metric in zip(axes, COMPARED, strict=True):
        some = changes[changes.metric == metric]
        for y, row in enumerate(some.itertuples()):
            axis.plot([row.low, row.high], [y, y], color="tab:blue", linewidth=1.5)
            axis.plot(
                row.difference, y, "o", color="tab:blue", markerfacecolor="tab:blue" if row.apart else "white"
            )
        axis.axvline(0, color="grey", linewidth=0.8)
        axis.set_xlabel(f"{metric_label(metric, fid_features)}\nless the usual row's")
    axes[1].set_xscale("symlog", linthresh=10)  # a few methods differ by hundreds
    axes[1].set_xticks(SMALL_AND_LARGE, [f"{value:g}" for value in SMALL_AND_LARGE])
    axes[1].set_xlim(1.4 * min(-100, changes.low.min()), 1.4 * max(100, changes.high.max()))
    axes[0].set(yticks=range(len(names)), yticklabels=names)
    axes[0].invert_yaxis()
    return plots.titled(
        figure, "One change at a time, 95 % intervals; filled where the difference is apart from 0"
    )


def cells_of(deviation: Deviation) -> dict[str, Cell]:
    """What is measured, by metric."""
    row = Row(CONCEPT, deviation.method, deviation.component)
    return {metric: Cell(row, ATTACK.attack, metric) for metric in METRICS}


def erasediff_multipliers(run: Run) -> pd.DataFrame:
    """EraseDiff's lambda in each iteration and seed: how much forgetting counts against remaining.

    Raises :class:`UserError` for weights from elsewhere.
    """
    row = Row(CONCEPT, "ED", "UNet")
    if where := run.study.protocol.checkpoint(row):
        raise UserError(f"{where!r} was not trained here, so its lambda is not known")
    jobs = [Job(study.profile, study.protocol.model(row)) for study in run.studies]
    compute(jobs, run.study.store, "deviations")
    parts = []
    for study in run.studies:
        record = study.record(study.protocol.model(row))
        assert record is not None
        values = record["result"]["numbers"]["lambda"]
        parts.append(
            pd.DataFrame({"iteration": range(len(values)), "lambda": values, "seed": study.profile.seed})
        )
    return pd.concat(parts, ignore_index=True)


def plot_multipliers(multipliers: pd.DataFrame) -> Figure:
    """Lambda over the iterations, a line a seed."""
    figure, axis = plt.subplots(figsize=(5.5, 2.6))
    sns.lineplot(multipliers, x="iteration", y="lambda", hue="seed", palette="colorblind", ax=axis)
    axis.set(xlabel="iteration", ylabel="lambda (no unit)", ylim=(0, None))
    return plots.titled(figure, "EraseDiff's multiplier of the forgetting loss while it trains")


def row_of(deviation: Deviation, studies: Sequence[Study], fid_features: str) -> dict[str, str]:
    """One line of the table."""
    row = {"method": deviation.method, "trains": deviation.component, "deviation": deviation.what}
    for metric, cell in cells_of(deviation).items():
        estimates = [study.estimate(cell) for study in studies]
        estimate = estimates[0]
        if len(estimates) > 1:
            estimate = bootstrap_mean(np.array([one.value for one in estimates], np.float64))
        row[metric_label(metric, fid_features)] = interval(estimate, estimate.value, metric)
    return row
