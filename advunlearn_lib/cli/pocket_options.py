"""The options of the commands that make the shipped model and its settings."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import writable
from advunlearn_lib.cli.command import seed
from advunlearn_lib.profiles.schema import Kind
from advunlearn_lib.report.folders import published_folder, results_folder

STAGES = ("clip", "judge", "unet", "unet_2", "vision", "derived")  # the VAE stays, unless asked for
UNSEEN_STAGES = ("clip", "unet", "unet_2")  # of a model without a concept
KINDS: tuple[Kind, ...] = ("broad", "style", "object")


def add_train_options(parser: ArgumentParser) -> None:
    """What is trained, and where it goes."""
    add = parser.add_argument
    add("--stage", choices=("vae", *STAGES), help="this stage only")
    add(
        "--without", action="append", default=[], metavar="NAME",
        help="train another model, which never sees this object, category or painter (may be repeated)",
    )  # fmt: skip
    add(
        "--install", action="store_true",
        help="put the trained model and its logs in the place of the shipped ones, and train nothing",
    )  # fmt: skip


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


def add_tune_options(parser: ArgumentParser) -> None:
    """What is tuned."""
    add = parser.add_argument
    add("--kind", choices=KINDS, help="this kind of concept only")
    add("--method", default="", help="this method only, as the tables name it")
    add("--budget", action="store_true", help="the attack's budget instead of the methods")
    add("--seed", type=seed, help="seed of training, attack and pictures (default: 0)")
    add_output_options(parser)
