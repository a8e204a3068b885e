"""``pocket-train``, ``pocket-quality``, ``tune``: how the shipped model and its settings came about."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.files import writable
from advunlearn_lib.base.paths import DATA, ROOT
from advunlearn_lib.cli.command import Command, seed, stay_offline
from advunlearn_lib.paper.folders import published_folder, results_folder
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.schema import Kind

STAGES = ("clip", "judge", "unet", "unet_2", "vision", "derived")  # the VAE stays, unless asked for
KINDS: tuple[Kind, ...] = ("broad", "style", "object")
WORK = ROOT / "work"


def add_train_options(parser: ArgumentParser) -> None:
    """What is trained, and where it goes."""
    parser.add_argument("--stage", choices=("vae", *STAGES), help="this stage only")
    parser.add_argument(
        "--install", action="store_true",
        help="put the trained model and its logs in the place of the shipped ones, and train nothing",
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
        install(folders, DATA / "pocket", published_folder("pocket") / "training")
    else:
        run(folders, (options.stage,) if options.stage else STAGES)
    return 0


def add_output_options(parser: ArgumentParser) -> None:
    """Where results go."""
    parser.add_argument("--out", type=Path, help="where results go (default: figures/pocket)")
    parser.add_argument(
        "--publish", action="store_true", help="write the committed results, figures/published/pocket"
    )


def output_folder(options: Namespace, name: str) -> Path:
    """The folder ``name`` of the chosen results. Raises :class:`UserError` where two are chosen."""
    seed = getattr(options, "seed", None)
    if options.publish and (options.out or seed):
        raise UserError("--publish sets the folder: it cannot be combined with --seed or --out")
    usual = results_folder("pocket", seed=seed)
    folder = published_folder("pocket") if options.publish else options.out or usual
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

    profile = load_profile()
    (report_world if options.world else report)(profile, output_folder(options, "training"))
    return 0


def add_tune_options(parser: ArgumentParser) -> None:
    """What is tuned."""
    add: Any = parser.add_argument
    add("--kind", choices=KINDS, help="this kind of concept only")
    add("--method", default="", help="this method only, as the tables name it")
    add("--budget", action="store_true", help="the attack's budget instead of the methods")
    add("--seed", type=seed, help="seed of training, attack and pictures (default: 0)")
    add_output_options(parser)


def choose_settings(options: Namespace) -> int:
    """Choose hyper-parameters on the validation concepts."""
    stay_offline()
    from advunlearn_lib.pocket.search import search
    from advunlearn_lib.pocket.search_budget import search_budget

    profile, folder = load_profile(seed=options.seed), output_folder(options, "tuning")
    if options.budget:
        search_budget(profile, folder)
        return 0
    known = sorted({key.method for key in profile.methods})
    method = options.method and choose("method", options.method, known)
    search(profile, folder, (options.kind,) if options.kind else KINDS, method)
    return 0


COMMANDS = (
    Command("pocket-train", "retrain the pocket model from its sprites, into work/",
            "pocket-train --stage vae", add_train_options, train, resumes=True),
    Command("pocket-quality", "measure the pocket model's quality bars", "pocket-quality",
            add_quality_options, quality),
    Command("tune", "choose hyper-parameters on the validation concepts", "tune --kind object",
            add_tune_options, choose_settings, resumes=True),
)  # fmt: skip
