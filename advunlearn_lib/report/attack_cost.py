"""How cheap may AdvUnlearn's inner attack be? ``notebooks/beyond_attack_cost``.

The paper attacks by K = 30 steps at each iteration and leaves cheaper ways to future work. Each scheme here
trains the table's model in every other respect as the table does; its attack's rate is such that K steps
reach as far as the table's (a start from the last attack goes on from there). Cost is counted, not timed:
samples that go through the UNet and back, an iteration.

    cost  =  batch (K n / m + 1)  +  retain batch

with an attack every m iterations, n points a step; free adversarial training has K = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.erasure.advunlearn_options import AdvUnlearnOptions
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.samples import compare_cells
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.compare import Difference
from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean
from advunlearn_lib.profiles.schema import MethodKey, Profile
from advunlearn_lib.report import plots
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.tables import interval, metric_label

METRICS = ("pre_asr", "asr", "fid", "clip")
ATTACK = "UnlearnDiffAtk"
MARGIN = 10.0  # points of ASR that a cheaper scheme may lose at most


class Scheme(NamedTuple):
    """An inner attack: K ``steps``, each on ``points`` z_t, ``every`` so many iterations."""

    steps: int
    every: int = 1
    points: int = 1
    start: str = "random"
    free: bool = False

    def __str__(self) -> str:
        if self.free:
            return "free"
        said = [f"K = {self.steps}"]
        said += [f"every {self.every} iterations"] if self.every > 1 else []
        said += [f"{self.points} points a step"] if self.points > 1 else []
        said += ["from the last attack"] if self.start == "latest" else []
        return ", ".join(said)

    def cost(self, options: AdvUnlearnOptions) -> float:
        """Samples through the UNet and back, an iteration."""
        attack = 0 if self.free else self.steps * self.points / self.every
        return options.batch * (attack + 1) + options.retain_batch


STRONGEST = Scheme(30)  # the paper's
CHEAP = Scheme(1, start="latest")  # ``attack_scheme="cheap"``
SCHEMES = (
    *(Scheme(steps) for steps in (1, 2, 4, 10)),
    STRONGEST,
    Scheme(4, every=4),
    Scheme(1, points=4),
    CHEAP,
    Scheme(1, free=True),
)
AGAIN = (STRONGEST, Scheme(4), CHEAP)  # on a second concept: with the table's own in between


def row_of(concept: str) -> Row:
    """The model whose attack is changed."""
    return Row(concept, "AdvUnlearn", "Text Encoder")


def changed(profile: Profile, concept: str, scheme: Scheme) -> Profile:
    """``profile`` with another inner attack, of the same reach."""
    key = MethodKey("AdvUnlearn", "Text Encoder", profile.concepts[concept].kind)
    usual = profile.methods[key]
    options = AdvUnlearnOptions.model_validate(usual.options)
    attack: dict[str, Any] = {
        "attack_steps": scheme.steps,
        "attack_lr": options.attack_lr * options.attack_steps / scheme.steps,
        "attack_every": scheme.every,
        "attack_points": scheme.points,
        "init": scheme.start,
        "free_attack": scheme.free,
    }
    return profile.model_copy(update={"methods": profile.methods | {key: usual.changed(**attack)}})


def measured(run: Run, concept: str, schemes: Sequence[Scheme] = SCHEMES) -> dict[Scheme, list[Study]]:
    """Each scheme's studies, one a seed, when the store has all their cells.

    Raises :class:`UserError` for weights from elsewhere, whose attack cannot be changed.
    """
    if where := run.study.protocol.checkpoint(row_of(concept)):
        raise UserError(f"{where!r} was not trained here, so its inner attack cannot be another")
    compute(jobs_of(run.profiles, concept, schemes), run.study.store, "inner attacks")
    return {
        scheme: [Study(changed(profile, concept, scheme)) for profile in run.profiles] for scheme in schemes
    }


def jobs_of(profiles: Sequence[Profile], concept: str, schemes: Sequence[Scheme] = SCHEMES) -> list[Job]:
    """What has to be computed."""
    protocols = [Protocol(changed(profile, concept, scheme)) for scheme in schemes for profile in profiles]
    cells = [cell_of(concept, metric) for metric in METRICS]
    return [Job(protocol.profile, protocol.cell(cell)) for protocol in protocols for cell in cells]


def cell_of(concept: str, metric: str) -> Cell:
    """A number of the model."""
    return Cell(row_of(concept), ATTACK, metric)


def estimated(studies: Sequence[Study], concept: str, metric: str) -> Estimate:
    """A number; over several seeds their mean, with a bootstrap interval over them."""
    estimates = [study.estimate(cell_of(concept, metric)) for study in studies]
    if len(estimates) == 1:
        return estimates[0]
    return bootstrap_mean(np.array([one.value for one in estimates]))


def against(found: dict[Scheme, list[Study]], scheme: Scheme, concept: str) -> Difference:
    """A scheme's ASR less that of the strongest attack, on the same prompts and seeds."""
    cell = cell_of(concept, "asr")
    return compare_cells(cell, found[scheme], cell, found[STRONGEST])


def summary(run: Run, concept: str, found: dict[Scheme, list[Study]]) -> pd.DataFrame:
    """A row a scheme: its cost, its numbers, and its ASR against that of the strongest attack."""
    rows = []
    for scheme, studies in found.items():
        line: dict[str, Any] = {
            "inner attack": str(scheme),
            "cost": scheme.cost(options_of(studies, concept)),
        }
        for metric in METRICS:
            estimate = estimated(studies, concept, metric)
            line[metric_label(metric, run.profile.fid_features)] = interval(estimate, estimate.value, metric)
        change = against(found, scheme, concept)
        said = f"{change.value:+.1f} [{change.low:.1f}, {change.high:.1f}]"
        line[f"ASR less that of {STRONGEST}"] = "–" if scheme == STRONGEST else said
        line["as robust"] = "yes" if as_robust(change) or scheme == STRONGEST else "not shown"
        rows.append(line)
    return pd.DataFrame(rows)


def options_of(studies: Sequence[Study], concept: str) -> AdvUnlearnOptions:
    """What the scheme's model is trained with."""
    options = studies[0].protocol.options(row_of(concept))[1]
    assert isinstance(options, AdvUnlearnOptions)
    return options


def as_robust(change: Difference) -> bool:
    """Does the whole interval say that no more than ``MARGIN`` points are lost?"""
    return change.high <= MARGIN


def cheapest(run: Run, concept: str, found: dict[Scheme, list[Study]]) -> Scheme:
    """The scheme of the lowest cost that is as robust as the strongest; the strongest where none is."""
    robust = [scheme for scheme in found if scheme == STRONGEST or as_robust(against(found, scheme, concept))]
    return min(robust, key=lambda scheme: scheme.cost(options_of(found[scheme], concept)))


def plot(run: Run, concept: str, found: dict[Scheme, list[Study]]) -> Figure:
    """ASR, FID and CLIP score over cost, a point a scheme."""
    better = {"asr": "lower", "fid": "lower", "clip": "higher"}
    figure, axes = plt.subplots(1, len(better), figsize=(12, 4))
    for axis, metric in zip(axes, better, strict=True):
        for marker, (scheme, studies) in zip(plots.MARKERS, found.items(), strict=False):
            estimate = estimated(studies, concept, metric)
            cost, bars = scheme.cost(options_of(studies, concept)), [[estimate.value - estimate.low]]
            bars.append([estimate.high - estimate.value])
            colour = "#b2182b" if scheme == STRONGEST else "#4878a8"
            axis.errorbar(cost, estimate.value, bars, fmt=marker, color=colour, capsize=2, label=str(scheme))
        axis.set(xscale="log", xlabel="cost (UNet samples, an iteration)")
        ticks = sorted({scheme.cost(options_of(studies, concept)) for scheme, studies in found.items()})
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_ylabel(f"{metric_label(metric, run.profile.fid_features)}, {better[metric]} is better")
    axes[-1].legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    best = cheapest(run, concept, found)
    name = run.profile.concepts[concept].name
    said = f"{name}: the cheapest that is as robust as {STRONGEST}, within {MARGIN:g} points: {best}"
    return plots.titled(figure, f"{said}\n{run.stamp}")
