"""What a command of the command line is."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.settings import LARGEST, LARGEST_SEED


@dataclass(frozen=True)
class Command:
    """A command with only the options that apply to it.

    ``resumes``: run again, it goes on where it was stopped.
    """

    name: str
    help: str
    example: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    resumes: bool = False

    def parse(self, words: list[str]) -> argparse.Namespace:
        """The options in ``words``. Raises :class:`UserError` for what it does not take."""
        epilog = f"example:\n  ./reproduce.sh {self.example}"
        style = argparse.RawDescriptionHelpFormatter
        parser = Parser(
            prog=f"reproduce.sh {self.name}", description=self.help, epilog=epilog, formatter_class=style
        )
        self.add_options(parser)
        named = [word.partition("=")[0] for word in words if word.startswith("--")]
        self.refuse([name for name in named if name not in parser._option_string_actions])
        options, rest = parser.parse_known_args(words)
        self.refuse(rest)
        options.command, options.words = self.name, [self.name, *words]
        return options

    def refuse(self, words: list[str]) -> None:
        """Raise :class:`UserError` that names the first of ``words``, which the command does not take."""
        if words:
            raise UserError(
                f"unknown option {words[0]!r} of {self.name} (see ./reproduce.sh {self.name} --help)"
            )


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


def stay_offline() -> None:
    """All that is needed is here: ask no hub."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
