"""Train the pocket model from the sprite atlas: ``./reproduce.sh pocket-train [--stage clip|judge|...]``.

Each stage leaves its part in ``work/pocket/``; a stopped stage resumes from its checkpoint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.keys import fingerprint
from advunlearn_lib.base.orphans import end_with_parent
from advunlearn_lib.base.paths import DATA
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.report import plots
from advunlearn_lib.report.folders import FINISHED
from tools.pocket_model.common import Folders
from tools.pocket_model.derived import train_derived
from tools.pocket_model.train_clip import train_clip
from tools.pocket_model.train_judge import train_judge
from tools.pocket_model.train_unet import train_unet, train_unet_on
from tools.pocket_model.train_vae import train_vae
from tools.pocket_model.train_vision import train_vision
from tools.pocket_model.training_set import training_set

SHIPPED = DATA / "pocket"
STAGES = {
    "vae": train_vae,
    "clip": train_clip,
    "judge": train_judge,
    "unet": train_unet,
    "unet_2": train_unet_on,
    "vision": train_vision,
    "derived": train_derived,
}
PARTS = {"derived": ["protogen"]}  # the log a stage leaves last, where it is not its own name
UNSEEN_LAST = "unet_2"  # the stage that finishes a model which must not see something
GROUPS = (("vae",), ("clip", "judge"), ("unet",), ("unet_2", "vision"), ("derived",))  # side by side


def train(folders: Folders, stages: Sequence[str] = tuple(STAGES)) -> None:
    """Run ``stages`` in order, each resumed where it stopped; those of a group side by side.

    A part that no stage has trained yet is the shipped one; the VAE stays it unless it is trained anew. Where
    the model must not see something, nothing else of the shipped one is there that might have seen it.
    """
    if folders.without:
        shutil.copytree(SHIPPED / "v1-4" / "vae", folders.model / "vae", dirs_exist_ok=True)
    elif not folders.model.exists():
        shutil.copytree(SHIPPED, folders.model.parent)
    training_set(folders.sprites, folders.work)  # drawn once, before any process needs it
    for group in GROUPS:
        wanted = [stage for stage in group if stage in stages]
        if len(wanted) == 1:
            run_stage(folders, wanted[0])
        elif wanted:
            with ProcessPoolExecutor(len(wanted), get_context("spawn"), end_with_parent) as pool:
                list(pool.map(partial(run_stage, folders), wanted))
    plots.save(training_curves(folders.log), folders.log / "curves.png", f"commit {commit()}")
    if folders.without:
        if UNSEEN_LAST in stages:
            key = fingerprint(folders.model)  # as the recipes of results on it name it
            said = {"without": folders.without, "commit": commit(), "key": key}
            with atomic(folders.log / FINISHED) as temporary:
                temporary.write_text(json.dumps(said))
        print(f"trained into {folders.model}, which has never seen: {', '.join(folders.without)}")
    else:
        print(f"trained into {folders.model.parent}; pocket-train --install makes it the shipped model")


def run_stage(folders: Folders, stage: str) -> None:
    """One stage, with one thread: where anything else runs, a second one waits at every barrier."""
    torch.set_num_threads(1)
    STAGES[stage](training_set(folders.sprites, folders.work, folders.without), folders)


def install(folders: Folders, target: Path, log: Path) -> None:
    """Put the trained model in the place of ``target``, and its logs into ``log``.

    Raises :class:`UserError` where a file of the one there lacks, or a stage after the first that was trained
    was not: its part would stand on others than it was made for. Nothing is changed then.
    """
    trained = folders.model.parent
    present = (path.relative_to(target) for path in sorted(target.rglob("*")) if path.is_file())
    lacking = [str(name) for name in present if not (trained / name).exists()]
    lacking += [f"stage {stage}" for stage in untrained(folders.log)]
    if lacking:
        raise UserError(f"{trained} has no {lacking[0]} yet: let pocket-train finish first")
    fresh, old = target.with_name(f".{target.name}.new"), target.with_name(f".{target.name}.old")
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained, fresh)
    target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old)
    shutil.copytree(folders.log, log, dirs_exist_ok=True)
    print(f"installed: {target}, logs in {log}")


def untrained(log: Path) -> list[str]:
    """The stages after the first one that left a log which left none; all where none did."""
    done = [any((log / f"{part}.jsonl").exists() for part in PARTS.get(stage, [stage])) for stage in STAGES]
    first = done.index(True) if any(done) else -1
    return [stage for place, stage in enumerate(STAGES) if place > first and not done[place]]


def training_curves(log: Path) -> Figure:
    """Loss of every part of the pocket model against its steps; ``log`` holds one ``.jsonl`` a part."""
    parts = sorted(part for part in log.glob("*.jsonl") if part.stat().st_size)  # a new one is empty at first
    figure, axes = plt.subplots(1, len(parts), figsize=(3 * len(parts), 2.6), squeeze=False)
    for axis, part in zip(axes[0], parts, strict=True):
        rows = pd.read_json(part, lines=True)
        sns.lineplot(data=rows, x="step", y="loss", ax=axis, linewidth=1)
        axis.set(title=part.stem, xlabel="training step", ylabel="loss", yscale="log")
        axis.yaxis.set(major_formatter=LogFormatter(), minor_formatter=LogFormatter())
    figure.tight_layout()
    return figure
