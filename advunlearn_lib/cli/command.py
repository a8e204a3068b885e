"""What a command of the command line is."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.settings import LARGEST, LARGEST_SEED

IN_A_CLONE = ("tools", "benchmarks")  # folders of the repository beside the package


@dataclass(frozen=True)
class Command:
    """A command with only the options that apply to it.

    Its ``module`` of this package has its ``run(options) -> exit code`` and imports what that needs, so it is
    imported after the options were understood, and after ``before`` has looked at them. ``resumes``: run
    again, it goes on where it was stopped.
    """

    name: str
    module: str
    help: str
    example: str
    add_options: Callable[[argparse.ArgumentParser], None]
    before: Callable[[argparse.Namespace], object] = bool
    resumes: bool = False

    def add_parser(self, parsers: argparse._SubParsersAction[Parser]) -> Parser:
        """Its own parser."""
        style = argparse.RawDescriptionHelpFormatter
        epilog = f"example:\n  ./reproduce.sh {self.example}"
        parser = parsers.add_parser(self.name, description=self.help, epilog=epilog, formatter_class=style)
        self.add_options(parser)
        return parser

    def run(self, options: argparse.Namespace) -> int:
        """Do it, and return the exit code."""
        self.before(options)
        try:
            module = import_module(f"advunlearn_lib.cli.{self.module}")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in IN_A_CLONE:
                raise UserError(
                    f"{self.name} needs a clone of the repository: its code is not installed"
                ) from None
            raise
        return int(module.run(options))


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviations."""

    def __init__(self, **settings: object) -> None:
        super().__init__(allow_abbrev=False, **settings)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UserError(message)


def at_least(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """The argument type of whole numbers from ``least`` on, if not beyond all use."""

    def parse(text: str) -> int:
        if not text.removeprefix("-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        if int(text) > most:
            raise argparse.ArgumentTypeError(f"{text!r} is too large (allowed: {least} to {most})")
        return int(text)

    return parse


def between(least: float, most: float) -> Callable[[str], float]:
    """The argument type of numbers from ``least`` to ``most``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
        return value

    return parse


seed = at_least(0, LARGEST_SEED)


def stay_offline(_: object = None) -> None:
    """All that is needed is here: ask no hub."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def line(name: str, description: str | None) -> str:
    """An entry and what it means."""
    return f"  {name:36} {description or ''}".rstrip()
