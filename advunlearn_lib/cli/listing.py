"""``list``: what can be asked for."""

from __future__ import annotations

from argparse import Namespace
from importlib import import_module

from advunlearn_lib.base.errors import choose
from advunlearn_lib.cli.command import line
from advunlearn_lib.cli.other_options import AT_ONCE, LISTS
from advunlearn_lib.profiles.load import SETTABLE, load_profile
from advunlearn_lib.report.items import ITEMS


def run(options: Namespace) -> int:
    """Print the items, the settings, or the methods or attacks with their options."""
    what = [choose("list", options.what, LISTS)] if options.what else AT_ONCE
    profile = load_profile(options.profile)
    if "items" in what:
        print(f"items: {', '.join(ITEMS)}")
    if "settings" in what:
        print(f"\nsettings of the profile {profile.name}, changed by --set NAME=VALUE:")
        fields = type(profile).model_fields
        for name in SETTABLE:
            print(line(f"{name}={getattr(profile, name)}", fields[name].description))
    for name in ("methods", "attacks"):
        if name in what:
            getattr(import_module("advunlearn_lib.cli.list_methods"), f"list_{name}")()
    if not options.what:
        print("\nmethods and attacks, with their options: list methods, list attacks")
    return 0
