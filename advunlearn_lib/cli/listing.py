"""``list``: what can be asked for."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from advunlearn_lib.base.errors import choose
from advunlearn_lib.cli.command import Command
from advunlearn_lib.paper.items import ITEMS
from advunlearn_lib.profiles.load import SETTABLE, load_profile

WHAT = ("items", "settings", "methods", "attacks")


def add_options(parser: ArgumentParser) -> None:
    """What to list."""
    parser.add_argument("what", nargs="?", default="", help=f"one of {', '.join(WHAT)} (default: all)")
    parser.add_argument("--profile", default="pocket", help="whose settings: pocket (default) or paper")


def run(options: Namespace) -> int:
    """Print the items, the settings, the methods and attacks with their options."""
    what = [choose("list", options.what, WHAT)] if options.what else WHAT
    profile = load_profile(options.profile)
    if "items" in what:
        print(f"items: {', '.join(ITEMS)}")
    if "settings" in what:
        print(f"\nsettings of the profile {profile.name}, changed by --set NAME=VALUE:")
        fields = type(profile).model_fields
        for name in SETTABLE:
            print(line(f"{name}={getattr(profile, name)}", fields[name].description))
    if "methods" in what:
        list_methods()
    if "attacks" in what:
        list_attacks()
    return 0


def line(name: str, description: str | None) -> str:
    """An entry and what it means."""
    return f"  {name:36} {description or ''}".rstrip()


def list_methods() -> None:
    """Each erasure method, its options (``erase --option NAME=VALUE``) and their defaults, its quirks."""
    from advunlearn_lib.erasure.registry import METHODS

    print("\nmethods, with options for erase --option NAME=VALUE; defaults are the paper's, at full size:")
    for name, method in METHODS.items():
        print(f"  {name} ({method.LABEL}): {summary(method)}")
        list_fields(method.OPTIONS, method.OPTIONS.model_fields)
        for quirk, meaning in method.OPTIONS.QUIRKS.items():
            print(f"  {line(f'quirk {quirk}', meaning)}")


def list_attacks() -> None:
    """Each attack, and the budget's fields (``attack --option NAME=VALUE``)."""
    from advunlearn_lib.attacks.records import Budget
    from advunlearn_lib.attacks.registry import ATTACKS

    print("\nattacks:")
    for name, attack in ATTACKS.items():
        print(f"  {name}: {summary(attack)}")
        own = {
            key: field for key, field in attack.BUDGET.model_fields.items() if key not in Budget.model_fields
        }
        list_fields(attack.BUDGET, own)
    print("  budget, for attack --option NAME=VALUE; defaults are UnlearnDiffAtk's in the paper:")
    list_fields(Budget, Budget.model_fields)


def list_fields(options: Any, fields: dict[str, Any]) -> None:
    """Options with their defaults and meanings; a class that changes a default keeps the meaning."""
    for name, field in fields.items():
        inherited = (cls.model_fields.get(name) for cls in options.__mro__ if hasattr(cls, "model_fields"))
        meaning = next((other.description for other in inherited if other and other.description), "")
        if name != "quirks":
            print(f"  {line(f'{name}={field.default}', meaning)}")


def summary(cls: type) -> str:
    """The first paragraph of the module's docstring: what the method is, and its source."""
    import sys

    return " ".join((sys.modules[cls.__module__].__doc__ or "").split("\n\n")[0].split())


COMMAND = Command("list", "list items, settings, methods and attacks", "list methods", add_options, run)
