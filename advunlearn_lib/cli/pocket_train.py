"""``pocket-train``: how the shipped model came about."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib.base.files import writable
from advunlearn_lib.base.paths import DATA, ROOT
from advunlearn_lib.cli.pocket_options import STAGES
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.report.folders import published_folder
from tools.pocket_model.common import Folders
from tools.pocket_model.train import install, train

WORK = ROOT / "work"


def run(options: Namespace) -> int:
    """Train into ``work/``, or install what was trained there."""
    sprites, work = load_profile().sprites, writable("work folder", WORK)
    folders = Folders(WORK / "pocket" / "v1-4", sprites, work, WORK / "training")
    if options.install:
        install(folders, DATA / "pocket", published_folder("pocket") / "training")
    else:
        train(folders, (options.stage,) if options.stage else STAGES)
    return 0
