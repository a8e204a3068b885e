"""A store with made-up results for every cell of some tables, so that whole notebooks run in seconds.

Models are the base model's own parts, prompts are real, numbers are drawn from a generator of the cell's key.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from advunlearn_lib.attacks.records import AttackResult, result
from advunlearn_lib.base.store import Store
from advunlearn_lib.diffusion.weights import save_part
from advunlearn_lib.execute.plan import Job, required_jobs
from advunlearn_lib.experiment.picture_specs import KEPT
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import bootstrap_mean
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.report import attack_cost, oracle, other_settings
from advunlearn_lib.report.deviations import DEVIATIONS, cells_of, changed
from advunlearn_lib.report.items import TABLES
from advunlearn_lib.report.reported import Result, jobs_of, reported

QUICK = load_profile(quick=True)


def fill_store(root: Path) -> None:
    """Every cell of all notebooks in a quick run, into the store in ``root``."""
    quick = Study(QUICK, Store(root / QUICK.name))
    jobs = [job for table in TABLES.values() for job in jobs_of([quick], table)]
    for deviation in DEVIATIONS:
        protocol = Protocol(changed(QUICK, deviation))
        jobs += [Job(protocol.profile, protocol.cell(cell)) for cell in cells_of(deviation).values()]
    fill_cells(
        root,
        jobs
        + other_settings.jobs_of(QUICK)
        + attack_cost.jobs_of([QUICK], "Church")
        + attack_cost.jobs_of([QUICK], "nudity", attack_cost.AGAIN)
        + oracle.jobs_of(oracle.with_oracle(QUICK)),
    )


def copy_store(store: Path, folder: Path) -> Path:
    """A store's finished cells, linked: one is replaced whole, never written into."""
    unfinished = shutil.ignore_patterns("*.partial", ".*.lock")
    return shutil.copytree(store, folder, copy_function=os.link, ignore=unfinished)


def fill_cells(root: Path, jobs: Sequence[Job]) -> None:
    """Every cell that ``jobs`` rest on, into the profile's store in ``root``."""
    base = Study(QUICK, Store(root / QUICK.name))
    parts = {name: root / "parts" / name for name in ("unet", "text_encoder")}
    for name, folder in parts.items():
        save_part(getattr(base.base(), name), folder)
    for (kind, key), job in required_jobs(jobs).items():
        make = {"erase": erased, "attack": attacked, "quality": measured}[kind]
        made = make(base, parts, job.spec, np.random.default_rng(int(key, 16)))
        base.store.cell(kind, job.spec.recipe, made)


def erased(study, parts, spec, rng):
    """The base model's own part, as links, with losses and seconds."""

    def compute(folder):
        (folder / "weights").mkdir()
        for file in parts[spec.erasure.options.component].iterdir():
            os.link(file, folder / "weights" / file.name)
        numbers = {"lambda": rng.random(5).tolist()} if spec.erasure.method == "erasediff" else {}
        return {
            "losses": rng.random(5).tolist(),
            "seconds": (0.1 + rng.random(5)).tolist(),
            "numbers": numbers,
        }

    return compute


def attacked(study, parts, spec, rng):
    """An outcome for each of the concept's evaluation prompts."""
    outcomes = []
    for prompt in study.prompts_of(spec.prompts):
        before, found = rng.random(2) < (0.3, 0.5)
        text = f"dog drum {prompt.text}" if found and not before else prompt.text
        step = 0 if before else 1 if found else -1
        outcomes.append(result(prompt, bool(before), bool(before or found), text, step))
    flags = ["no gradient"] if rng.random() < 0.1 else []
    return lambda folder: AttackResult(prompts=outcomes, flags=flags).model_dump()


def measured(study, parts, spec, rng):
    """FID and CLIP score, and what each of 60 pictures adds to them."""
    pictures = {"fid": rng.normal(rng.uniform(10, 60), 8, 60), "clip": rng.normal(0.3, 0.04, 60)}

    def compute(folder):
        save_file({name: torch.from_numpy(values) for name, values in pictures.items()}, folder / KEPT)
        return {name: bootstrap_mean(values).model_dump() for name, values in pictures.items()}

    return compute


TABLE_3 = {  # (method, component, metric) -> value, low, high
    ("SD v1.4", "", "asr"): (100, 94, 100),
    ("SD v1.4", "", "fid"): (10, 9, 11),
    ("ESD", "UNet", "asr"): (70, 60, 80),
    ("ESD", "UNet", "fid"): (12, 11, 13),
    ("AdvUnlearn", "UNet", "asr"): (60, 50, 70),
    ("AdvUnlearn", "UNet", "fid"): (13, 12, 14),
    ("ESD", "Text Encoder", "asr"): (5, 2, 9),
    ("ESD", "Text Encoder", "fid"): (40, 38, 42),
    ("AdvUnlearn", "Text Encoder", "asr"): (85, 80, 90),
    ("AdvUnlearn", "Text Encoder", "fid"): (14, 13, 15),
}


def made_results(table: str = "3", values=TABLE_3) -> list[Result]:
    """A table whose numbers are those of ``values``, else 50 [40, 60]."""
    made = []
    for number in reported(table):
        row, metric = number.cell.row, number.cell.metric
        value, low, high = values.get((row.method, row.component, metric), (50, 40, 60))
        here = "weapon" if row.concept == "nudity" else ""
        made.append(Result(
            table=table, **row._asdict(), here=here, attack=number.cell.attack, metric=metric,
            reported=number.value, reproduced=value, low=low, high=high, n=60, key="k",
            seeds=[value], spread=0.0, commit="c",
        ))  # fmt: skip
    return made
