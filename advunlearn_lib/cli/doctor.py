"""``doctor``: what this machine has and lacks for a profile."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from advunlearn_lib.base.paths import store_root
from advunlearn_lib.cli.command import Command, stay_offline
from advunlearn_lib.cli.items import add_profile_options, overrides_of
from advunlearn_lib.profiles.load import load_profile


def add_options(parser: ArgumentParser) -> None:
    """The profile, and how much is tried."""
    add_profile_options(parser)
    parser.add_argument(
        "--full",
        action="store_true",
        help="also run every method and attack once, at full size (an hour on a CPU)",
    )


def run(options: Namespace) -> int:
    """Print what was found; 1 where something that is needed is missing or does not work."""
    profile = load_profile(options.profile, overrides_of(options))
    if profile.is_local():
        stay_offline()
    from advunlearn_lib.execute.doctor import print_findings
    from advunlearn_lib.execute.dry_run import print_dry_run

    store = store_root(profile.name)
    fine = print_findings(profile, store)
    if options.full:
        fine &= print_dry_run(profile, store)
    return 0 if fine else 1


COMMAND = Command(
    "doctor", "what this machine lacks for a profile", "doctor --profile paper", add_options, run
)
