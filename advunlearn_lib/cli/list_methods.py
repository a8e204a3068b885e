"""The methods and attacks of ``list``, which have to be imported to be listed."""

from __future__ import annotations

import sys
from typing import Any

from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.cli.command import line
from advunlearn_lib.erasure.registry import METHODS


def list_methods() -> None:
    """Each erasure method, its options (``erase --option NAME=VALUE``) and their defaults, its quirks."""
    print("\nmethods, with options for erase --option NAME=VALUE; defaults are the paper's, at full size:")
    for name, method in METHODS.items():
        print(f"  {name} ({method.LABEL}): {summary(method)}")
        list_fields(method.OPTIONS, method.OPTIONS.model_fields)
        for quirk, meaning in method.OPTIONS.QUIRKS.items():
            print(f"  {line(f'quirk {quirk}', meaning)}")


def list_attacks() -> None:
    """Each attack, and the budget's fields (``attack --option NAME=VALUE``)."""
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
        source = (field.json_schema_extra or {}).get("source", "")
        if name != "quirks":
            print(f"  {line(f'{name}={field.default}', meaning)}{f' [{source}]' if source else ''}")


def summary(cls: type) -> str:
    """The first paragraph of the module's docstring: what the method is, and its source."""
    return " ".join((sys.modules[cls.__module__].__doc__ or "").split("\n\n")[0].split())
