"""The methods and attacks of ``list``, which have to be imported to be listed.

``python -m advunlearn_lib.cli.list_methods > docs/options.md`` writes them as a page.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence
from typing import NamedTuple

from pydantic import BaseModel

from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.cli.command import line
from advunlearn_lib.erasure.registry import METHODS


def list_methods() -> None:
    """Each erasure method, its options (``erase --option NAME=VALUE``) and their defaults, its quirks."""
    print("\nmethods, with options for erase --option NAME=VALUE; defaults are the paper's, at full size:")
    for name, method in METHODS.items():
        print(f"  {name} ({method.LABEL}): {summary(method)}")
        list_fields(options_of(method.OPTIONS))
        for quirk, meaning in method.OPTIONS.QUIRKS.items():
            print(f"  {line(f'quirk {quirk}', meaning)}")


def list_attacks() -> None:
    """Each attack, and the budget's fields (``attack --option NAME=VALUE``)."""
    print("\nattacks:")
    for name, attack in ATTACKS.items():
        print(f"  {name}: {summary(attack)}")
        list_fields(options_of(attack.BUDGET, Budget.model_fields))
    print("  budget, for attack --option NAME=VALUE; defaults are UnlearnDiffAtk's in the paper:")
    list_fields(options_of(Budget))


class Option(NamedTuple):
    """A field of a method's options or an attack's budget."""

    name: str
    default: str
    meaning: str
    source: str


def options_of(options: type[BaseModel], but: Container[str] = ()) -> list[Option]:
    """The fields of ``options`` but those named; a class that changes a default keeps the meaning."""
    found = []
    for name, field in options.model_fields.items():
        inherited = (cls.model_fields.get(name) for cls in options.__mro__ if issubclass(cls, BaseModel))
        meaning = next((other.description for other in inherited if other and other.description), "")
        extra = field.json_schema_extra
        source = str(extra.get("source", "")) if isinstance(extra, dict) else ""
        if name != "quirks" and name not in but:
            found.append(Option(name, str(field.default), meaning, source))
    return found


def list_fields(options: list[Option]) -> None:
    """A line an option."""
    for one in options:
        source = f" [{one.source}]" if one.source else ""
        print(f"  {line(f'{one.name}={one.default}', one.meaning)}{source}")


def summary(cls: type) -> str:
    """The first paragraph of the module's docstring: what the method is, and its source."""
    return " ".join((sys.modules[cls.__module__].__doc__ or "").split("\n\n")[0].split())


def page() -> str:
    """All of it as Markdown: docs/options.md."""
    parts = [HEAD, "## Methods"]
    for name, method in METHODS.items():
        quirks = [Option(f"quirk `{quirk}`", "off", why, "") for quirk, why in method.OPTIONS.QUIRKS.items()]
        parts += [
            f"### {method.LABEL} (`{name}`)",
            summary(method),
            as_table([*options_of(method.OPTIONS), *quirks]),
        ]
    parts += [
        "## Attacks",
        "The budget of all; the defaults are UnlearnDiffAtk's.",
        as_table(options_of(Budget)),
    ]
    for name, attack in ATTACKS.items():
        parts += [f"### {name}", summary(attack), as_table(options_of(attack.BUDGET, Budget.model_fields))]
    return "\n\n".join(filter(None, parts)) + "\n"


HEAD = """# Every option, its default and where the value is from

Defaults are the paper's, at full size; what the paper and its code do not say is *ours* or *unknown*. The
pocket profile's own values are in `advunlearn_lib/profiles/pocket.py`. `erase --option NAME=VALUE`,
`attack --option NAME=VALUE`, or keywords in Python; `./reproduce.sh list methods` says the same.
Written by `python -m advunlearn_lib.cli.list_methods`."""


def as_table(options: Sequence[Option]) -> str:
    """Options as a Markdown table; nothing where there are none."""
    if not options:
        return ""
    lines = ["| option | default | meaning | value from |", "|:--|:--|:--|:--|"]
    for one in options:
        name = one.name if one.name.startswith("quirk") else f"`{one.name}`"
        default = f"`{one.default}`" if one.default and one.default != "off" else one.default
        cells = [text.replace("|", "\\|") for text in (name, default, one.meaning, one.source)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(page(), end="")
