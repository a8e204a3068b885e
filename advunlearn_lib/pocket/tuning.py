"""Choose each method's hyper-parameters on a validation concept that is in no table: ``./reproduce.sh tune``.

The rule, the same for every method: among equally many settings, the best FID of those whose success *without
attack* on the validation concept is at most 20 % (ESD's on nudity in the paper is 20.4 %); where none gets
there, the lowest success. Attacks and claims are never looked at. A broad concept searches eight settings, a
learning rate and a second knob; a style and an object four, the first knob alone, with the second as broad
concepts chose it. The log is ``figures/published/<profile>/tuning/<kind>.csv``; what it marks as chosen is
what the profile holds (checked by a test).

The attack's budget is set on the validation concept's ESD (UNet) model alone: timesteps and steps are doubled
in turn until doubling adds less than two points of ASR, and then frozen for all (``budget.csv``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.profiles.schema import Kind, MethodKey, Profile

VALIDATION: dict[Kind, str] = {"broad": "vehicle", "style": "monet", "object": "guitar"}
RATES = (5e-5, 1e-4, 2e-4, 4e-4)
TEXT_RATES = (2.5e-5, 5e-5, 1e-4, 2e-4)
AC_RATES = (1e-4, 2e-4, 5e-4, 1e-3)
SPM_RATES = (3e-3, 6e-3, 1e-2, 2e-2)
FMN_RATES = (1e-5, 2e-5, 3e-5, 5e-5)
ETA = (1.0, 2.0)
GRID: dict[
    tuple[str, str], dict[str, tuple[float, ...]]
] = {  # four values of the first knob, two of the second
    ("ESD", "UNet"): {"lr": RATES, "eta": ETA},
    ("AT-ESD", "UNet"): {"lr": RATES, "eta": ETA},
    ("AdvUnlearn", "UNet"): {"lr": RATES, "eta": ETA},
    ("ESD", "Text Encoder"): {"lr": TEXT_RATES, "eta": ETA},
    ("AdvUnlearn", "Text Encoder"): {"lr": TEXT_RATES, "eta": ETA},
    ("FMN", "UNet"): {"lr": FMN_RATES, "iterations": (35, 70)},
    ("SPM", "UNet"): {"lr": SPM_RATES, "anchor_weight": (10.0, 1000.0)},
    ("UCE", "UNet"): {"erase_scale": (0.1, 1.0, 10.0, 100.0), "preserve_scale": (0.1, 1.0)},
    ("AC", "UNet"): {"lr": AC_RATES, "iterations": (100, 200)},
    ("SalUn", "UNet"): {"lr": RATES, "alpha": (0.1, 0.5)},
    ("ED", "UNet"): {"lr": RATES, "eta": (1.0, 10.0)},
    ("SH", "UNet"): {"lr": RATES, "sparsity": (0.99, 0.995)},
}
LIMIT = 20.0
SMALLER = {"fid_images": 300, "prompts": 40}
BUDGETS = ((3, 4), (6, 4), (6, 8), (12, 8), (12, 16))  # (timesteps, steps), each twice the one before
ENOUGH = 2.0


PLACE = ["method", "component"]


class Trial(NamedTuple):
    """One setting of one method on the validation concept."""

    key: MethodKey
    setting: dict[str, float]
    study: Study

    def cell(self, metric: str) -> Cell:
        """A number of its model."""
        return Cell(Row(VALIDATION[self.key.kind], self.key.method, self.key.component), "none", metric)


def settings(key: MethodKey) -> list[dict[str, float]]:
    """All settings tried for a method; for styles and objects those of the first knob."""
    knobs = list(GRID[key.method, key.component].items())[: None if key.kind == "broad" else 1]
    names, values = zip(*knobs, strict=True)
    return [dict(zip(names, one, strict=True)) for one in product(*values)]


def choose_setting(log: pd.DataFrame) -> Hashable:
    """Index of the chosen row of one method's log (columns ``success`` and ``fid``)."""
    erased = log[log.success <= LIMIT]
    return erased.fid.idxmin() if len(erased) else log.success.idxmin()


def finished(log: Path, kind: Kind) -> pd.DataFrame:
    """The rows of a log whose methods have been searched whole."""
    rows = pd.read_csv(log, comment="#") if log.exists() else pd.DataFrame(columns=PLACE)
    places = list(rows[PLACE].itertuples(index=False, name=None))
    tried = Counter(places)
    whole = [tried[place] == len(settings(MethodKey(place[0], place[1], kind))) for place in places]
    return rows.loc[np.array(whole, dtype=bool)]


def trials(profile: Profile, kind: Kind, known: pd.DataFrame) -> list[Trial]:
    """All settings of all methods that the log lacks."""
    have = set(known[PLACE].itertuples(index=False, name=None))
    keys = [key for key in profile.methods if key.kind == kind and (key.method, key.component) not in have]
    return [Trial(key, setting, study_of(profile, key, setting)) for key in keys for setting in settings(key)]


def study_of(profile: Profile, key: MethodKey, setting: dict[str, float]) -> Study:
    """The profile with one method set otherwise, and fewer pictures and prompts."""
    methods = profile.methods | {key: profile.methods[key].changed(**setting)}
    return Study(profile.model_copy(update={"methods": methods} | SMALLER))


def tune(profile: Profile, folder: Path, kinds: Sequence[Kind] = tuple(VALIDATION)) -> None:
    """Try every setting of every method that the log lacks
    and write it; FID is measured where the concept is erased.
    """
    for kind in kinds:
        known = finished(folder / f"{kind}.csv", kind)
        tried = trials(profile, kind, known)
        success = measure(tried, "pre_asr", f"tune {kind}")
        log = pd.DataFrame(
            {
                "method": trial.key.method,
                "component": trial.key.component,
                **trial.setting,
                "success": value.value,
            }
            for trial, value in zip(tried, success, strict=True)
        )
        erased = [index for index, value in enumerate(success) if value.value <= LIMIT]
        fids = measure([tried[index] for index in erased], "fid", f"tune {kind}, FID")
        for index, fid in zip(erased, fids, strict=True):
            log.loc[index, ["fid", "fid_low", "fid_high"]] = fid.value, fid.low, fid.high
        log = pd.concat([known, log], ignore_index=True)
        picked = {choose_setting(part) for _, part in log.groupby(PLACE)}
        log["chosen"] = [index in picked for index in log.index]
        write_log(log, folder / f"{kind}.csv", f"validation concept {VALIDATION[kind]}, seed {profile.seed}")


def write_log(log: pd.DataFrame, path: Path, stamp: str) -> None:
    """Keep and print a log."""
    with atomic(path) as temporary:
        temporary.write_text(log.to_csv(index=False) + f"# {stamp}, commit {commit()}\n")
    print(log.to_string(index=False))


def measure(tried: Sequence[Trial], metric: str, desc: str) -> list[Estimate]:
    """One number for every setting."""
    if tried:
        jobs = [Job(trial.study.profile, trial.cell(metric)) for trial in tried]
        compute(jobs, tried[0].study.store, desc)
    return [trial.study.estimate(trial.cell(metric)) for trial in tried]


def choose_budget(asr: Sequence[float]) -> int:
    """Index of the first budget whose doubling adds less than two points; the last one where none does."""
    return next((i for i, (now, double) in enumerate(pairwise(asr)) if double - now < ENOUGH), len(asr) - 1)


def tune_budget(profile: Profile, folder: Path) -> None:
    """Measure ASR on the validation concept's ESD (UNet) model under growing budgets."""
    cell = Cell(Row(VALIDATION["broad"], "ESD", "UNet"), "UnlearnDiffAtk", "asr")
    changes = [{"attack_timesteps": timesteps, "attack_steps": steps} for timesteps, steps in BUDGETS]
    studies = [Study(profile.model_copy(update=change)) for change in changes]
    compute([Job(study.profile, cell) for study in studies], studies[0].store, "attack budget")
    rows = []
    for (timesteps, steps), study in zip(BUDGETS, studies, strict=True):
        asr = study.estimate(cell)
        rows.append(
            {"timesteps": timesteps, "steps": steps, "asr": asr.value, "low": asr.low, "high": asr.high}
        )
    log = pd.DataFrame(rows)
    log["chosen"] = log.index == choose_budget(log.asr.tolist())
    write_log(log, folder / "budget.csv", f"seed {profile.seed}")
