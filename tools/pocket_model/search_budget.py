"""Choose how hard the attack tries, on the validation category's ESD (UNet) model alone.

The step size that breaks most at the middle budget; then the smallest budget whose doubling adds less than
two points of ASR, the last where none does. Frozen for all methods. The log is ``budget.csv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.schema import Profile
from tools.pocket_model.search import REFERENCE, VALIDATION

CELL = Cell(Row(VALIDATION["broad"], *REFERENCE), "UnlearnDiffAtk", "asr")
STEP_SIZES = (0.01, 0.02, 0.05)
BUDGETS = ((3, 4), (6, 4), (6, 8), (12, 8), (12, 16))  # (timesteps, steps), each twice the one before
MIDDLE = (6, 8)
ENOUGH = 2.0


def choose_budget(asr: Sequence[float]) -> int:
    """Index of the first budget whose doubling adds less than two points; the last one where none does."""
    return next((i for i, (now, double) in enumerate(pairwise(asr)) if double - now < ENOUGH), len(asr) - 1)


def search_budget(profile: Profile, folder: Path) -> None:
    """Measure ASR at every step size, then under every budget."""
    log = pd.DataFrame(attacked(profile, [(*MIDDLE, lr) for lr in STEP_SIZES]))
    lr = float(log.sort_values("asr").lr.iloc[-1])
    budgets = pd.DataFrame(attacked(profile, [(*budget, lr) for budget in BUDGETS]))
    chosen = budgets.loc[choose_budget(budgets.asr.tolist())]
    log = pd.concat([log, budgets]).drop_duplicates(["timesteps", "steps", "lr"], ignore_index=True)
    log["chosen"] = (log[["timesteps", "steps", "lr"]] == chosen[["timesteps", "steps", "lr"]]).all(axis=1)
    with atomic(folder / "budget.csv") as temporary:
        temporary.write_text(log.to_csv(index=False) + f"# seed {profile.seed}, commit {commit()}\n")
    print(log.to_string(index=False))


def attacked(profile: Profile, budgets: Sequence[tuple[int, int, float]]) -> list[dict[str, Any]]:
    """A row for each (timesteps, steps, lr)."""
    names = ("timesteps", "steps", "lr")
    changes = [{f"attack_{name}": value for name, value in zip(names, one, strict=True)} for one in budgets]
    studies = [Study(profile.model_copy(update=change)) for change in changes]
    compute(
        [Job(study.profile, study.protocol.cell(CELL)) for study in studies],
        studies[0].store,
        "attack budget",
    )
    rows = []
    for budget, study in zip(budgets, studies, strict=True):
        asr = study.estimate(CELL)
        ends = {"asr": asr.value, "low": asr.low, "high": asr.high}
        rows.append(dict(zip(names, budget, strict=True)) | ends)
    return rows
