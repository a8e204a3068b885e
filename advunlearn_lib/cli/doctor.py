"""``doctor``: what this machine has and lacks for a profile."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib.base.paths import store_root
from advunlearn_lib.cli.item_options import overrides_of
from advunlearn_lib.diagnose.doctor import print_findings
from advunlearn_lib.diagnose.dry_run import print_dry_run
from advunlearn_lib.profiles.load import load_profile


def run(options: Namespace) -> int:
    """Print what was found; 1 where something that is needed is missing or does not work."""
    profile = load_profile(options.profile, overrides_of(options))
    store = store_root(profile.name)
    fine = print_findings(profile, store)
    if options.full:
        fine &= print_dry_run(profile, store)
    return 0 if fine else 1
