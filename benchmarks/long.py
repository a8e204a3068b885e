"""AdvUnlearn far enough to be judged, both ways: ``./reproduce.sh bench --long``.

The text encoder, K = 30, 60 iterations: what ``bench`` cuts to a few. Both sides get the same options, the
same seed, and *church* alone as their prompt, since the official way takes one prompt an iteration. When the
clock has stopped, both models are attacked by UnlearnDiffAtk, and FID and CLIP score are taken of 1000
pictures: are they as good, although the library's sees only the sampling paths that it keeps? A row is a seed
of a process of one thread beside others; it is written when it is done, and a run of the same commit on the
same machine goes on with the others.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from advunlearn_lib import api
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.data.emoji import evaluation_candidates, retain_set
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.pictures import target_latents
from advunlearn_lib.erasure.advunlearn_options import AdvUnlearnOptions
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment import resolve
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.metrics.judges import load_judge
from advunlearn_lib.profiles.pocket import POCKET
from benchmarks import official
from benchmarks.bench import machine
from benchmarks.jobs import BATCH, PAPER_ITERATIONS, SAMPLING

CHURCH = POCKET.concepts["Church"]
SEEDS = 0, 1, 2
WORKERS, THREADS = 2, 1  # processes, threads of each
ITERATIONS, QUICK_ITERATIONS = 60, 2
# The pocket profile's for an object. But lr is one at which so few iterations leave the attack about half of
# the prompts, chosen on the library's side and another seed alone (seed 7: ASR 95 % at 1e-4, 67 at 1.3e-4,
# 52 at 1.5e-4); and thirty steps of the inner attack reach as far as the profile's four.
OPTIONS: dict[str, Any] = {"lr": 1.5e-4, "retain_weight": 0.5, "warm_up": 0}
OPTIONS |= {"attack_steps": 30, "attack_step": "sign", "attack_lr": 1.25e-2 * 4 / 30}
Row = dict[str, Any]


def run_long(folder: Path, quick: bool = False) -> pd.DataFrame:
    """Measure the seeds that ``folder`` does not have yet, and write ``long.csv`` there."""
    file = folder / "long.csv"
    rows = finished(file, QUICK_ITERATIONS if quick else ITERATIONS)
    left = [seed for seed in (SEEDS[:1] if quick else SEEDS) if seed not in [row["seed"] for row in rows]]
    with ProcessPoolExecutor(WORKERS, get_context("spawn"), torch.set_num_threads, (THREADS,)) as pool:
        made = [pool.submit(both, seed, quick) for seed in left]
        for one in tqdm(as_completed(made), total=len(made), desc="seeds"):
            rows.append(one.result())
            with atomic(file) as temporary:
                pd.DataFrame(rows).sort_values("seed").to_csv(temporary, index=False)
    table = pd.DataFrame(rows).sort_values("seed")
    print(table.T.to_markdown())
    return table


def finished(file: Path, iterations: int) -> list[Row]:
    """The rows that ``file`` has of so many iterations, this commit and machine; of a changed tree none."""
    if not file.exists() or commit().endswith("+"):
        return []
    old = pd.read_csv(file, dtype={"commit": str})
    same = (old.iterations == iterations) & (old.commit == commit()) & (old.machine == machine(THREADS))
    kept: list[Row] = old[same].to_dict("records")
    return kept


def both(seed: int, quick: bool) -> Row:
    """One seed's row."""
    iterations = QUICK_ITERATIONS if quick else ITERATIONS
    given = AdvUnlearnOptions(**OPTIONS, steps=2 if quick else 20)
    options = given.scaled(iterations / PAPER_ITERATIONS)
    retain = retain_set(CHURCH.labels)
    row: Row = {"seed": seed, "iterations": iterations, "retain_prompts": len(retain)}
    judged: Row = {}
    for side, way in {"official": plainly, "ours": ours}.items():
        began = time.perf_counter()
        model = way(options, retain, seed)
        row[f"{side}_s"] = round(time.perf_counter() - began, 1)
        for name, one in measured(model, quick).items():
            judged[f"{side}, {name}"] = f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}]"
    row["ratio"] = round(row["official_s"] / row["ours_s"], 2)
    return row | judged | {"machine": machine(), "commit": commit()}


def plainly(options: AdvUnlearnOptions, retain: list[str], seed: int) -> LatentDiffusion:
    """The official way."""
    method = official.AdvUnlearn(official.load(POCKET.base), CHURCH.name, retain, options)
    method.train(seed)
    return load_model(POCKET.base).with_parts(text_encoder=method.text_encoder.requires_grad_(False))


def ours(options: AdvUnlearnOptions, retain: list[str], seed: int) -> LatentDiffusion:
    """The library's."""
    task = Task(load_model(POCKET.base), [CHURCH.name], retain, seed=seed)
    return train(prepare("advunlearn", task, options), seed).model


def measured(model: LatentDiffusion, quick: bool) -> dict[str, Estimate]:
    """ASR with and without attack, FID and CLIP score."""
    base, study = load_model(POCKET.base), Study(POCKET)
    prompts = evaluation_candidates(CHURCH.kind, CHURCH.labels, 2 if quick else CHURCH.prompt_count)
    judge = load_judge(POCKET.judge(CHURCH.judge), list(CHURCH.labels), CHURCH.threshold)
    changes = {"timesteps": 1, "steps": 1} if quick else {}
    budget = resolve.attack_budget(POCKET, "UnlearnDiffAtk", CHURCH, changes)
    attack = ATTACKS["UnlearnDiffAtk"](model, judge, budget, SAMPLING, original=base, batch=BATCH)
    result = attack.run(prompts, target_latents(base, prompts, SAMPLING, BATCH))
    captions, reference = study.captions(CHURCH.labels), study.reference(CHURCH.labels)
    networks = study.clip(POCKET.clip), study.features
    chosen = captions[:4] if quick else captions
    quality = api.evaluate(model, chosen, *networks, reference, SAMPLING, batch=POCKET.batch)
    return api.success_rates(result) | quality
