"""The options of what runs the paper's items, and what they say of a profile."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from advunlearn_lib.cli.command import at_least, seed, stay_offline
from advunlearn_lib.profiles.load import load_profile


def add_profile_options(parser: ArgumentParser) -> None:
    """Which profile, and what of it is changed."""
    add = parser.add_argument
    add(
        "--profile",
        default="pocket",
        help="pocket (default): the shipped small model; paper: Stable Diffusion v1.4",
    )
    add(
        "--base",
        metavar="ID_OR_DIR",
        help="the base model: a pipeline's folder or hub id (default: the profile's)",
    )
    add("--prompts-dir", metavar="DIR", help="paper: local copies of the official prompt files")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting (./reproduce.sh list)",
    )


def overrides_of(options: Namespace) -> list[str]:
    """The profile's changed settings."""
    named = {"base": options.base, "prompts_dir": options.prompts_dir}
    changes = [f"{name}={value}" for name, value in named.items() if value is not None]
    checkpoints = [f"checkpoint={one}" for one in getattr(options, "checkpoint", [])]
    added = [f"add={one.resolve()}" for one in getattr(options, "add", [])]
    return [*options.set, *checkpoints, *added, *changes]


def add_run_options(parser: ArgumentParser) -> None:
    """What a run of the paper's items takes."""
    add_profile_options(parser)
    add = parser.add_argument
    add("--checkpoint", action="append", default=[], metavar="ROW=WHERE",
        help="weights instead of training: 'nudity:ESD:UNet=FILE.pt'; published: the authors'")  # fmt: skip
    add(
        "--quick", action="store_true", help="the smallest real run, under a minute; its numbers mean nothing"
    )
    add("--seed", type=seed, help="seed of training, attack and pictures (default: 0)")
    add("--seeds", type=at_least(1), default=1, metavar="N",
        help="repeat over N seeds and show the spread (default: %(default)s)")  # fmt: skip
    add("--out", type=Path, help="where results go (default: a folder of figures/ for this sort of run)")
    add(
        "--publish",
        action="store_true",
        help="write the committed results, figures/published/<profile>; of N seeds in seedsN within it",
    )


def add_claims_options(parser: ArgumentParser) -> None:
    """A run's options, and those by which nothing is computed."""
    add_run_options(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--computed", action="store_true", help="judge the tables computed so far, and compute nothing"
    )
    where.add_argument("--numbers", type=Path, metavar="DIR",
        help="judge the tables in DIR, JSON files of an earlier run, and compute nothing")  # fmt: skip


def add_item_options(parser: ArgumentParser) -> None:
    """A run's options, and where its cells are computed."""
    add_run_options(parser)
    add = parser.add_argument
    add("--processes", type=at_least(1), default=1, metavar="N",
        help="share each cell's prompts and pictures among N processes or GPUs")  # fmt: skip
    add("--executor", default="local", metavar="WHERE",
        help="local (default), ray, or ray://ADDRESS: compute cells on a cluster")  # fmt: skip
    add("--share", type=share, metavar="K/N",
        help="compute the K-th of N shares of the cells, and stop: for a cluster's job array")  # fmt: skip


def share(text: str) -> tuple[int, int]:
    """The argument type of ``--share``."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ArgumentTypeError(f"{text!r} is not K/N with K from 1 to N, such as 3/8")
    return int(part), int(parts)


def add_table_options(parser: ArgumentParser) -> None:
    """An item's options, and what stands beside the paper's methods and attacks."""
    add_item_options(parser)
    parser.add_argument("--add", action="append", default=[], type=Path, metavar="FILE.py",
        help="put the methods and attacks that a file of yours registers into the table")  # fmt: skip


def stay_offline_if_local(options: Namespace) -> None:
    """Where every model of the profile is a folder here, no hub is asked.

    Raises :class:`UserError` for what the options say wrongly of the profile.
    """
    profile = load_profile(options.profile, overrides_of(options), getattr(options, "quick", False))
    if profile.is_local():
        stay_offline()
