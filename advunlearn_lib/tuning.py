"""Choose each method's hyper-parameters on a validation concept that is in no table: ``./reproduce.sh tune``.

The rule, the same for every method: among equally many settings, the best FID of those whose success *without attack*
on the validation concept is at most 20 % (ESD's on nudity in the paper is 20.4 %); where none gets there, the lowest
success. Attacks and claims are never looked at. A broad concept searches eight settings, a learning rate and a second
knob; a style and an object four, the first knob alone, with the second as broad concepts chose it. The log is
``figures/<profile>/tuning/<kind>.csv``; what it marks as chosen is what the profile holds (checked by a test).

The attack's budget is set on the validation concept's ESD (UNet) model alone: timesteps and steps are doubled in turn
until doubling adds less than two points of ASR, and then frozen for all (``budget.csv``).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pandas as pd

from advunlearn_lib.files import atomic
from advunlearn_lib.metrics.asr import Estimate
from advunlearn_lib.parallel import compute
from advunlearn_lib.profiles import Profile
from advunlearn_lib.recipes import Cell, Row
from advunlearn_lib.store import commit
from advunlearn_lib.study import Study

VALIDATION = {"broad": "vehicle", "style": "monet", "object": "guitar"}
RATES = (5e-5, 1e-4, 2e-4, 4e-4)
TEXT_RATES = (2.5e-5, 5e-5, 1e-4, 2e-4)
AC_RATES = (1e-4, 2e-4, 5e-4, 1e-3)
SPM_RATES = (3e-3, 6e-3, 1e-2, 2e-2)
FMN_RATES = (1e-5, 2e-5, 3e-5, 5e-5)
ETA = (1.0, 2.0)
GRID: dict[str, dict[str, tuple[float, ...]]] = {  # four values of the first knob, two of the second
    "ESD UNet": {"lr": RATES, "eta": ETA},
    "AT-ESD UNet": {"lr": RATES, "eta": ETA},
    "AdvUnlearn UNet": {"lr": RATES, "eta": ETA},
    "ESD Text Encoder": {"lr": TEXT_RATES, "eta": ETA},
    "AdvUnlearn Text Encoder": {"lr": TEXT_RATES, "eta": ETA},
    "FMN UNet": {"lr": FMN_RATES, "iterations": (35, 70)},
    "SPM UNet": {"lr": SPM_RATES, "anchor_weight": (10.0, 1000.0)},
    "UCE UNet": {"erase_scale": (0.1, 1.0, 10.0, 100.0), "preserve_scale": (0.1, 1.0)},
    "AC UNet": {"lr": AC_RATES, "iterations": (100, 200)},
    "SalUn UNet": {"lr": RATES, "alpha": (0.1, 0.5)},
    "ED UNet": {"lr": RATES, "eta": (1.0, 10.0)},
    "SH UNet": {"lr": RATES, "sparsity": (0.99, 0.995)},
}
LIMIT = 20.0
SMALLER = {"fid_images": 300, "prompts": 40}
BUDGETS = ((3, 4), (6, 4), (6, 8), (12, 8), (12, 16))  # (timesteps, steps), each twice the one before
ENOUGH = 2.0


def settings(row: str) -> list[dict[str, Any]]:
    """All settings tried for a row of the profile, "method component kind"."""
    model, kind = row.rsplit(" ", 1)
    grid = dict(list(GRID[model].items())[: None if kind == "broad" else 1])
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def choose_setting(log: pd.DataFrame) -> Hashable:
    """Index of the chosen row of one method's log (columns ``success`` and ``fid``)."""
    erased = log[log.success <= LIMIT]
    return erased.fid.idxmin() if len(erased) else log.success.idxmin()


def finished(log: Path) -> pd.DataFrame:
    """The rows of a log whose methods have been searched whole."""
    rows = pd.read_csv(log, comment="#") if log.exists() else pd.DataFrame({"row": []})
    return rows[rows.row.map(lambda row: (rows.row == row).sum() == len(settings(row))).astype(bool)]


def tune(profile: Profile, folder: Path, kinds: Sequence[str] = tuple(VALIDATION)) -> None:
    """Try every setting of every method that the log lacks and write the log; FID is measured where the concept is erased."""
    for kind in kinds:
        concept, known = VALIDATION[kind], finished(folder / f"{kind}.csv")
        tried = []
        for row in (row for row in profile.methods if row.endswith(f" {kind}") and row not in set(known.row)):
            where = Row(concept, *row.removesuffix(f" {kind}").split(" ", 1))
            for setting in settings(row):
                methods = profile.methods | {row: profile.methods[row] | setting}
                tried.append((row, setting, Study(profile.model_copy(update={"methods": methods} | SMALLER)), where))
        success = measure(tried, "pre_asr", f"tune {kind}")
        log = pd.DataFrame(
            [{"row": row, **setting, "success": value.value} for (row, setting, _, _), value in zip(tried, success, strict=True)]
        )
        erased = [entry for entry, value in zip(tried, success, strict=True) if value.value <= LIMIT]
        for index, fid in zip(log.index[log.success <= LIMIT], measure(erased, "fid", f"tune {kind}, FID"), strict=True):
            log.loc[index, ["fid", "fid_low", "fid_high"]] = fid.value, fid.low, fid.high
        log = pd.concat([known, log], ignore_index=True)
        picked = {choose_setting(part) for _, part in log.groupby("row")}
        log["chosen"] = [index in picked for index in log.index]
        with atomic(folder / f"{kind}.csv") as temporary:
            temporary.write_text(log.to_csv(index=False) + f"# validation concept {concept}, seed {profile.seed}, commit {commit()}\n")
        print(log.to_string(index=False))


def measure(tried: Sequence[tuple[str, dict[str, Any], Study, Row]], metric: str, desc: str) -> list[Estimate]:
    """One number for every setting."""
    cells = [(study, Cell(where, "none", metric)) for _, _, study, where in tried]
    if cells:
        compute([(study.profile, cell) for study, cell in cells], cells[0][0].store, desc)
    return [study.estimate(cell)[0] for study, cell in cells]


def choose_budget(asr: Sequence[float]) -> int:
    """Index of the first budget whose doubling adds less than two points; the last one where none does."""
    return next((i for i, (now, double) in enumerate(pairwise(asr)) if double - now < ENOUGH), len(asr) - 1)


def tune_budget(profile: Profile, folder: Path) -> None:
    """Measure ASR on the validation concept's ESD (UNet) model under growing budgets."""
    cell = Cell(Row(VALIDATION["broad"], "ESD", "UNet"), "UnlearnDiffAtk", "asr")
    studies = [Study(profile.model_copy(update={"attack_timesteps": t, "attack_steps": s})) for t, s in BUDGETS]
    compute([(study.profile, cell) for study in studies], studies[0].store, "attack budget")
    rows = []
    for (timesteps, steps), study in zip(BUDGETS, studies, strict=True):
        asr, _ = study.estimate(cell)
        rows.append({"timesteps": timesteps, "steps": steps, "asr": asr.value, "low": asr.low, "high": asr.high})
    log = pd.DataFrame(rows)
    log["chosen"] = log.index == choose_budget(log.asr.tolist())
    with atomic(folder / "budget.csv") as temporary:
        temporary.write_text(log.to_csv(index=False) + f"# seed {profile.seed}, commit {commit()}\n")
    print(log.to_string(index=False))
