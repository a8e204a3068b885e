"""The options of ``list``, ``doctor``, ``store``, ``bench``, ``lab`` and ``test``."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from advunlearn_lib.cli.command import at_least
from advunlearn_lib.cli.item_options import add_profile_options

LISTS = ("items", "settings", "methods", "attacks")
AT_ONCE = LISTS[:2]  # where nothing is named; the others take seconds, as torch is imported with them


def add_list_options(parser: ArgumentParser) -> None:
    """What to list."""
    parser.add_argument(
        "what", nargs="?", default="", help=f"one of {', '.join(LISTS)} (default: {' and '.join(AT_ONCE)})"
    )
    parser.add_argument("--profile", default="pocket", help="whose settings: pocket (default) or paper")


def add_doctor_options(parser: ArgumentParser) -> None:
    """The profile, and how much is tried."""
    add_profile_options(parser)
    parser.add_argument(
        "--full",
        action="store_true",
        help="also run every method and attack once, at full size (an hour on a CPU)",
    )


def add_store_options(parser: ArgumentParser) -> None:
    """What is to be done to which store."""
    parser.add_argument("what", help="verify: check every finished cell; gc: list what can be removed")
    parser.add_argument("--profile", default="pocket", help="whose store: pocket (default) or paper")
    parser.add_argument("--yes", action="store_true", help="gc: remove it")


def add_bench_options(parser: ArgumentParser) -> None:
    """What is measured, and where results go."""
    add = parser.add_argument
    other = parser.add_mutually_exclusive_group().add_argument
    other(
        "--growth",
        action="store_true",
        help="instead: how seconds grow with the work and the machine (10 min)",
    )
    other(
        "--long",
        action="store_true",
        help="instead: AdvUnlearn by 60 iterations both ways, and both models judged (50 min)",
    )
    add("--quick", action="store_true", help="the smallest sizes, once; the numbers mean nothing")
    add("--out", type=Path, help="where the folder bench of results goes (default: figures/pocket)")
    add("--publish", action="store_true", help="write the committed results, figures/published/pocket/bench")


def add_lab_options(parser: ArgumentParser) -> None:
    """Where JupyterLab is seen."""
    parser.add_argument(
        "--port", type=at_least(1, 65535), help="its port (default: 8888, or the next free one)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print its address alone, open no browser")


def add_test_options(parser: ArgumentParser) -> None:
    """All other words go to pytest."""
    parser.add_argument("--all", action="store_true", help="also the slow tests: an hour instead of minutes")
