"""Choose every method's settings on validation concepts that are in no table, by rules written beforehand.

**Equal work.** Iterations are counted *per erase prompt* (``work``): a category has nine prompts, an object
eight, and each prompt is trained on as often. Four settings a method and kind, :data:`GRID`, no more.

**Baselines** are set as their authors set them, who knew no attack: of the settings with at most 20 % success
*without attack* on the validation concept (ESD's on nudity in the paper is 20.4 %) the best FID; where none
gets there, the lowest success. **AdvUnlearn and AT-ESD** as theirs, who tuned against the attack: of the
settings whose FID is at most 1.15 times that of ESD's (UNet) chosen one the lowest ASR; where none is, the
best FID. K, gamma and the retain batch are the paper's. No table's concept is looked at.

A method's rows are written to ``<kind>.csv`` as soon as they are there; a stopped search goes on after them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.profiles.schema import Kind, MethodKey, Profile

VALIDATION: dict[Kind, str] = {"broad": "vehicle", "style": "monet", "object": "guitar"}
PLACE = ["method", "component"]
REFERENCE = ("ESD", "UNet")  # whose FID bounds that of the methods tuned against the attack
Knobs = dict[str, tuple[float, ...]]
PATHS: Knobs = {"lr": (1e-4, 3e-4), "work": (5, 20)}
ENCODER: Knobs = {"lr": (5e-5, 1e-4), "work": (10, 30)}
GRID: dict[tuple[str, str], Knobs] = {
    REFERENCE: PATHS,
    ("AT-ESD", "UNet"): PATHS,
    ("AdvUnlearn", "UNet"): PATHS,
    ("ESD", "Text Encoder"): ENCODER,
    ("AdvUnlearn", "Text Encoder"): ENCODER,
    ("FMN", "UNet"): {"lr": (1e-5, 3e-5), "work": (2, 8)},
    ("SPM", "UNet"): {"lr": (3e-3, 6e-3), "work": (4, 16)},
    ("UCE", "UNet"): {"erase_scale": (0.1, 1.0), "preserve_scale": (0.1, 1.0)},
    ("AC", "UNet"): {"lr": (1e-4, 2e-4), "work": (4, 16)},
    ("SalUn", "UNet"): {"lr": (5e-5, 1e-4), "work": (3, 12)},
    ("ED", "UNet"): {"lr": (5e-5, 2e-4), "work": (2, 8)},
    ("SH", "UNet"): {"lr": (1e-4, 4e-4), "work": (2, 8)},
}
TUNED_AGAINST_THE_ATTACK = ("AdvUnlearn", "AT-ESD")
LIMIT, CAP = 20.0, 1.15
SMALLER = {"fid_images": 300, "prompts": 60}


class Trial(NamedTuple):
    """One setting of one method on the validation concept."""

    key: MethodKey
    setting: dict[str, float]
    study: Study

    def cell(self, metric: str) -> Cell:
        """A number of its model."""
        row = Row(VALIDATION[self.key.kind], self.key.method, self.key.component)
        return Cell(row, "UnlearnDiffAtk" if metric == "asr" else "none", metric)

    def job(self, metric: str) -> Job:
        """What has to be computed for it."""
        return Job(self.study.profile, self.study.protocol.cell(self.cell(metric)))


def settings(key: MethodKey) -> list[dict[str, float]]:
    """All settings tried for a method."""
    names, values = zip(*GRID[key.method, key.component].items(), strict=True)
    return [dict(zip(names, one, strict=True)) for one in product(*values)]


def options_of(setting: dict[str, float], prompts: int) -> dict[str, float]:
    """A setting as a method's options on a concept of so many erase prompts: ``work`` becomes iterations."""
    work = {"iterations": round(setting["work"] * prompts)} if "work" in setting else {}
    return {name: value for name, value in setting.items() if name != "work"} | work


def trial(profile: Profile, key: MethodKey, setting: dict[str, float]) -> Trial:
    """The profile with one method set otherwise, and fewer pictures and prompts."""
    prompts = len(profile.concepts[VALIDATION[key.kind]].erase)
    changed = profile.methods[key].changed(**options_of(setting, prompts))
    return Trial(
        key,
        setting,
        Study(profile.model_copy(update={"methods": profile.methods | {key: changed}} | SMALLER)),
    )


def choose_setting(rows: pd.DataFrame, cap: float | None = None) -> Hashable:
    """Index of the chosen row of one method (columns ``success``, ``fid``, ``asr``).

    With ``cap``, the highest FID allowed, the rule of methods that are tuned against the attack.
    """
    if cap is None:
        erased = rows[rows.success <= LIMIT]
        return erased.fid.idxmin() if len(erased) else rows.success.idxmin()
    allowed = rows[rows.fid <= cap]
    return allowed.asr.idxmin() if len(allowed) else rows.fid.idxmin()


def read_log(path: Path) -> pd.DataFrame:
    """The rows of a log, or none."""
    return pd.read_csv(path, comment="#") if path.exists() else pd.DataFrame(columns=[*PLACE, "chosen"])


def search(
    profile: Profile, folder: Path, kinds: Sequence[Kind] = tuple(VALIDATION), method: str = ""
) -> None:
    """Try every setting of every method, or of ``method``, that the logs lack.

    ESD's UNet comes first: others are measured by it.
    """
    for kind in kinds:
        keys = [key for key in profile.methods if key.kind == kind and method in ("", key.method)]
        path = folder / f"{kind}.csv"
        for key in sorted(keys, key=lambda key: key[:2] != REFERENCE):
            log = read_log(path)
            known = log[(log.method == key.method) & (log.component == key.component)]
            if len(known) != len(settings(key)):
                rows = try_settings(profile, key, cap_of(log, key))
                write_log(pd.concat([log.drop(known.index), rows], ignore_index=True), path, kind, profile)


def cap_of(log: pd.DataFrame, key: MethodKey) -> float | None:
    """The highest FID allowed to a method tuned against the attack; None for a baseline.

    Raises :class:`UserError` where the log lacks ESD (UNet).
    """
    if key.method not in TUNED_AGAINST_THE_ATTACK:
        return None
    reference = log[(log.method == REFERENCE[0]) & (log.component == REFERENCE[1]) & (log.chosen == True)]  # noqa: E712
    if reference.empty or reference.fid.isna().all():
        raise UserError(f"{key} is bounded by the FID of ESD (UNet), which is not in the log: tune ESD first")
    return CAP * float(reference.fid.iloc[0])


def try_settings(profile: Profile, key: MethodKey, cap: float | None) -> pd.DataFrame:
    """One method's rows, the chosen one marked; FID where the concept is erased, or with a cap everywhere."""
    tried = [trial(profile, key, setting) for setting in settings(key)]
    measured = {"success": measure(tried, "pre_asr")}
    within = [
        one for one, value in zip(tried, measured["success"], strict=True) if cap or value.value <= LIMIT
    ]
    within = within or [min(zip(tried, measured["success"], strict=True), key=lambda pair: pair[1].value)[0]]
    fids = dict(zip(map(id, within), measure(within, "fid"), strict=True))
    attacked = measure(tried, "asr") if cap else []
    rows = []
    for index, one in enumerate(tried):
        row: dict[str, object] = {"method": key.method, "component": key.component, **one.setting}
        row["success"] = measured["success"][index].value
        row["asr"] = attacked[index].value if attacked else None
        if fid := fids.get(id(one)):
            row |= {"fid": fid.value, "fid_low": fid.low, "fid_high": fid.high}
        rows.append(row)
    log = pd.DataFrame(rows)
    log["chosen"] = log.index == choose_setting(log, cap)
    return log


def measure(tried: Sequence[Trial], metric: str) -> list[Estimate]:
    """One number for every setting."""
    if tried:
        name, place = tried[0].key.method, tried[0].key.component
        compute([one.job(metric) for one in tried], tried[0].study.store, f"{name} ({place}), {metric}")
    return [one.study.estimate(one.cell(metric)) for one in tried]


def write_log(log: pd.DataFrame, path: Path, kind: Kind, profile: Profile) -> None:
    """Keep a log and print its last method's rows."""
    stamp = f"validation concept {VALIDATION[kind]}, seed {profile.seed}, commit {commit()}"
    with atomic(path) as temporary:
        temporary.write_text(log.to_csv(index=False) + f"# {stamp}\n")
    print(log[log[PLACE].eq(log[PLACE].iloc[-1]).all(axis=1)].to_string(index=False))
