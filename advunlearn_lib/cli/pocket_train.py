"""``pocket-train``: how the shipped model came about, and how one that never saw a concept does."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.files import writable
from advunlearn_lib.base.paths import DATA, WORK
from advunlearn_lib.cli.pocket_options import STAGES, UNSEEN_STAGES
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.report.folders import published_folder, unseen_folder
from advunlearn_lib.world.things import CONCEPT_NAMES
from tools.pocket_model.common import Folders
from tools.pocket_model.train import install, train


def run(options: Namespace) -> int:
    """Train into ``work/``, or install what was trained there."""
    sprites = load_profile().sprites
    if options.without:
        return run_without(options, sprites)
    work = writable("work folder", WORK)
    folders = Folders(WORK / "pocket" / "v1-4", sprites, work, WORK / "training")
    if options.install:
        install(folders, DATA / "pocket", published_folder("pocket") / "training")
    else:
        train(folders, (options.stage,) if options.stage else STAGES)
    return 0


def run_without(options: Namespace, sprites: Path) -> int:
    """Train a model that never sees some things, in a folder of its own."""
    without = tuple(sorted({choose("concept", name, CONCEPT_NAMES) for name in options.without}))
    if options.install:
        raise UserError("--install takes the shipped model's place: it cannot be combined with --without")
    if options.stage:
        choose("stage of a model --without something", options.stage, UNSEEN_STAGES)
    work = writable("work folder", unseen_folder(without, WORK))
    folders = Folders(work / "v1-4", sprites, work, work / "training", without)
    train(folders, (options.stage,) if options.stage else UNSEEN_STAGES)
    return 0
