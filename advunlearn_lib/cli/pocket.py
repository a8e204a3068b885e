"""``pocket-train``, ``pocket-quality``, ``tune``: how the shipped model and its settings came about."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import writable
from advunlearn_lib.base.paths import DATA, ROOT
from advunlearn_lib.cli.command import Command, at_least, stay_offline
from advunlearn_lib.paper.folders import published_folder, results_folder
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.schema import Kind

PROFILES = ("pocket", "next")
STAGES = ("clip", "judge", "unet", "unet_2", "vision", "derived")  # the VAE stays, unless asked for
KINDS: tuple[Kind, ...] = ("broad", "style", "object")
WORK = ROOT / "work"


def add_train_options(parser: ArgumentParser) -> None:
    """What is trained, and where it goes."""
    parser.add_argument("--stage", choices=("vae", *STAGES), help="this stage only")
    parser.add_argument(
        "--install", action="store_true",
        help="put the trained model and its logs in the place of the profile next's, and train nothing",
    )  # fmt: skip


def train(options: Namespace) -> int:
    """Train into ``work/``, or install what was trained there."""
    stay_offline()
    from advunlearn_lib.pocket.common import Folders
    from advunlearn_lib.pocket.train import install
    from advunlearn_lib.pocket.train import train as run

    sprites = load_profile().sprites
    folders = Folders(WORK / "pocket" / "v1-4", sprites, writable("work folder", WORK), WORK / "training")
    if options.install:
        install(folders, DATA / "next", published_folder("next") / "training")
    else:
        run(folders, (options.stage,) if options.stage else STAGES)
    return 0


def add_output_options(parser: ArgumentParser) -> None:
    """Whose model, and where results go."""
    parser.add_argument(
        "--profile", choices=PROFILES, default="pocket",
        help="pocket: the shipped model; next: the second world's, which is to replace it",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="where results go (default: figures/PROFILE)")
    parser.add_argument(
        "--publish", action="store_true", help="write the committed results, figures/published/PROFILE"
    )


def output_folder(options: Namespace, name: str) -> Path:
    """The folder ``name`` of the chosen results. Raises :class:`UserError` where two are chosen."""
    seed = getattr(options, "seed", None)
    if options.publish and (options.out or seed):
        raise UserError("--publish names the folder: it does not go with --seed or --out")
    usual = results_folder(options.profile, seed=seed)
    folder = published_folder(options.profile) if options.publish else options.out or usual
    return writable("output folder", folder.resolve() / name)


def add_quality_options(parser: ArgumentParser) -> None:
    """What is measured."""
    parser.add_argument(
        "--world", action="store_true",
        help="instead: can the world carry the paper's claims? (trains and attacks, half an hour)",
    )  # fmt: skip
    add_output_options(parser)


def quality(options: Namespace) -> int:
    """Measure the quality bars, or the world's."""
    stay_offline()
    from advunlearn_lib.pocket.quality import report
    from advunlearn_lib.pocket.world_bars import report_world

    profile = load_profile(options.profile)
    (report_world if options.world else report)(profile, output_folder(options, "training"))
    return 0


def add_tune_options(parser: ArgumentParser) -> None:
    """What is tuned."""
    add: Any = parser.add_argument
    add("--kind", choices=KINDS, help="this kind of concept only")
    add("--budget", action="store_true", help="the attack's budget instead of the methods")
    add("--seed", type=at_least(0), help="seed of training, attack and pictures (default: 0)")
    add_output_options(parser)


def choose(options: Namespace) -> int:
    """Choose hyper-parameters on the validation concepts."""
    stay_offline()
    from advunlearn_lib.pocket.search import search
    from advunlearn_lib.pocket.search_budget import search_budget
    from advunlearn_lib.pocket.tuning import tune, tune_budget

    profile, folder = load_profile(options.profile, seed=options.seed), output_folder(options, "tuning")
    second = profile.source == "second"
    if options.budget:
        (search_budget if second else tune_budget)(profile, folder)
    else:
        (search if second else tune)(profile, folder, (options.kind,) if options.kind else KINDS)
    return 0


COMMANDS = (
    Command("pocket-train", "retrain the pocket model from its sprites, into work/",
            "pocket-train --stage vae", add_train_options, train, resumes=True),
    Command("pocket-quality", "measure the pocket model's quality bars", "pocket-quality",
            add_quality_options, quality),
    Command("tune", "choose hyper-parameters on the validation concepts", "tune --kind object",
            add_tune_options, choose, resumes=True),
)  # fmt: skip
