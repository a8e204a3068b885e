"""Would another setting have changed a verdict? ``notebooks/beyond_settings``.

A method's rate and work were chosen once, on a validation concept, from a grid of four settings
(``tools/pocket_model/search.py``). Where a claim fails by that choice, and not by the method, it holds at one
of the other three. So claims of Tables 5, 7 and A2 about methods by which most of them failed are judged at
all four; a claim's other side stays as it is in the table. It was made after the tables were seen: it finds
causes, and no setting follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.cells import Cell, Row, usual_component
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.samples import compare_cells
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.compare import Difference, Verdict
from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean
from advunlearn_lib.profiles.schema import MethodKey, Profile
from advunlearn_lib.report import plots
from advunlearn_lib.report.claims import SIGNS, Claim, claims
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.reported import reported
from advunlearn_lib.report.tables import interval, metric_label

METRICS = ("pre_asr", "asr", "fid", "clip")
ATTACK = "UnlearnDiffAtk"
ACROSS = 3  # panels side by side


class Setting(NamedTuple):
    """A method on a concept, ``lr`` and ``work`` (iterations) as multiples of what the tables have."""

    table: str
    concept: str
    method: str
    lr: float
    work: float

    def __str__(self) -> str:
        parts = {"rate": self.lr, "work": self.work}
        said = [f"{name} × {factor:.2g}" for name, factor in parts.items() if factor != 1]
        return ", ".join(said) or "as in the table"

    def is_usual(self) -> bool:
        """Is it the tables' own?"""
        return self.lr == self.work == 1


SETTINGS = tuple(
    Setting(table, concept, method, lr, work)
    for table, concept, method, rates, works in (
        ("5", "nudity", "FMN", (1 / 3, 1), (1 / 4, 1)),
        ("5", "nudity", "SalUn", (1 / 2, 1), (1, 4)),
        ("7", "Church", "AdvUnlearn", (1, 2), (1, 3)),
        ("A2", "Tench", "AdvUnlearn", (1, 2), (1, 3)),
        ("A2", "Parachute", "AdvUnlearn", (1, 2), (1, 3)),
    )
    for lr in rates
    for work in works
)


def changed(profile: Profile, setting: Setting) -> Profile:
    """``profile`` with that one method at another rate, for more or fewer iterations."""
    component, kind = usual_component(setting.method), profile.concepts[setting.concept].kind
    key = MethodKey(setting.method, component, kind)
    usual = profile.methods[key]
    options: dict[str, Any] = {
        "lr": usual.options["lr"] * setting.lr,
        "iterations": max(1, round(usual.options["iterations"] * setting.work)),
    }
    return profile.model_copy(update={"methods": profile.methods | {key: usual.changed(**options)}})


def touched(setting: Setting) -> list[Claim]:
    """The claims of its table that have the method on one side."""
    numbers = {number.cell for number in reported(setting.table)}
    return [
        claim
        for claim in claims()
        if {claim.left.cell, claim.right.cell} <= numbers
        and row_of(setting) in (claim.left.cell.row, claim.right.cell.row)
    ]


def row_of(setting: Setting) -> Row:
    """The model that it changes."""
    return Row(setting.concept, setting.method)


def others(setting: Setting) -> list[Row]:
    """The models on the other side of its claims."""
    sides = [side.cell.row for claim in touched(setting) for side in (claim.left, claim.right)]
    return [row for row in dict.fromkeys(sides) if row != row_of(setting)]


def cell(row: Row, metric: str) -> Cell:
    """A number of a model."""
    return Cell(row, ATTACK, metric)


def measured(run: Run, settings: Sequence[Setting] = SETTINGS) -> list[tuple[Setting, list[Study]]]:
    """Each setting with its studies, one a seed, when the store has the cells of both sides of its claims.

    Raises :class:`UserError` for a profile whose settings come from no grid, and for weights from elsewhere.
    """
    if run.profile.source != "emoji":
        raise UserError("only the pocket profile's settings were chosen from a grid: take profile=pocket")
    for setting in settings:
        if where := run.study.protocol.checkpoint(row_of(setting)):
            raise UserError(f"{where!r} was not trained here, so it has no other settings")
    compute([job for one in run.profiles for job in jobs_of(one, settings)], run.study.store, "settings")
    return [(one, [Study(changed(profile, one)) for profile in run.profiles]) for one in settings]


def jobs_of(profile: Profile, settings: Sequence[Setting] = SETTINGS) -> list[Job]:
    """What has to be computed."""
    usual = Protocol(profile)
    jobs = []
    for setting in settings:
        own = Protocol(changed(profile, setting))
        for protocol, rows in ((own, [row_of(setting)]), (usual, others(setting))):
            cells = [cell(row, metric) for row in rows for metric in METRICS]
            jobs += [Job(protocol.profile, protocol.cell(one)) for one in cells]
    return jobs


def compare(setting: Setting, studies: Sequence[Study], usual: Sequence[Study], claim: Claim) -> Difference:
    """left - right of a claim, the setting's side from its ``studies``, any other from the tables' own."""
    left, right = claim.left.cell, claim.right.cell
    one, other = (studies if side.row == row_of(setting) else usual for side in (left, right))
    return compare_cells(left, one, right, other)


def verdicts(setting: Setting, studies: Sequence[Study], usual: Sequence[Study]) -> dict[str, Verdict]:
    """What its claims come to, by their names."""
    return {
        claim.id: compare(setting, studies, usual, claim).verdict(claim.relation)
        for claim in touched(setting)
    }


def estimated(studies: Sequence[Study], row: Row, metric: str) -> Estimate:
    """A model's number; over several seeds their mean, with a bootstrap interval over them."""
    estimates = [study.estimate(cell(row, metric)) for study in studies]
    if len(estimates) == 1:
        return estimates[0]
    return bootstrap_mean(np.array([one.value for one in estimates]))


def summary(run: Run, settings: Sequence[Setting] = SETTINGS) -> pd.DataFrame:
    """A row a model and setting: success without and with attack, FID, CLIP score, its claims' verdicts."""
    rows = []
    for setting, studies in measured(run, settings):
        said = verdicts(setting, studies, run.studies)
        line = {"concept": setting.concept, "model": setting.method, "setting": str(setting)}
        for metric in METRICS:
            estimate = estimated(studies, row_of(setting), metric)
            head = metric_label(metric, run.profile.fid_features)
            line[head] = interval(estimate, estimate.value, metric)
        rows.append(
            line | {"claims": ", ".join(f"{SIGNS[verdict]} {name}" for name, verdict in said.items())}
        )
    return pd.DataFrame(rows)


def finding(found: Mapping[Setting, Mapping[str, str]]) -> str:
    """How many claims that fail at the tables' setting hold at another one, from each setting's verdicts."""
    failed = {name for one, said in found.items() if one.is_usual() for name in said if said[name] == "fails"}
    held = {name for said in found.values() for name in failed if said.get(name) == "holds"}
    return f"{len(held)} of {len(failed)} claims that fail at the tables' settings hold at another one"


def plot(run: Run, settings: Sequence[Setting] = SETTINGS) -> Figure:
    """ASR against FID, a panel a method and concept: its settings, and what it is compared with."""
    found = measured(run, settings)
    panels = list(dict.fromkeys(setting[:3] for setting in settings))
    across, down = min(ACROSS, len(panels)), -(-len(panels) // ACROSS)
    size = (3.4 * across, 3.6 * down + 0.4)
    figure, axes = plt.subplots(down, across, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, panel in zip(axes.flat, panels, strict=False):
        tried = [(setting, studies) for setting, studies in found if setting[:3] == panel]
        for number, row in enumerate(others(tried[0][0])):
            place = dot(axis, run.studies, row, fmt="D", color="0.6", markersize=4)
            shift = (4, 4) if number % 2 else (4, -9)  # neighbours' names apart
            axis.annotate(row.method, place, shift, textcoords="offset points", fontsize=6, color="0.4")
        for marker, (setting, studies) in zip(plots.MARKERS, tried, strict=False):
            fill = "#b2182b" if setting.is_usual() else "white"
            dot(axis, studies, row_of(setting), fmt=marker, color="#b2182b", mfc=fill, label=str(setting))
        axis.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        concept, method = panel[1:]
        here = run.study.protocol.concept(concept).here()
        erased = f"{concept} ({here})" if here else concept
        plots.against_fid(axis, f"{metric_label('fid', run.profile.fid_features)}\n{erased}: {method}")
        axis.margins(x=0.2)
    for line in axes:
        line[0].set_ylabel("ASR (%), lower is better")
    said = finding({setting: verdicts(setting, studies, run.studies) for setting, studies in found})
    return plots.titled(figure, f"{said}\nfilled: the tables' setting; grey: the others\n{run.stamp}")


def dot(axis: Axes, studies: Sequence[Study], row: Row, **look: Any) -> tuple[float, float]:
    """Draw a model with both its intervals; where it stands."""
    fid, asr = (estimated(studies, row, metric) for metric in ("fid", "asr"))
    xerr, yerr = ([[one.value - one.low], [one.high - one.value]] for one in (fid, asr))
    axis.errorbar(fid.value, asr.value, yerr, xerr, linewidth=0.8, **look)
    return fid.value, asr.value
