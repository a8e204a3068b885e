"""The command line: find the command, parse its options, import what does it, run that.

Bad input is one line and exit code 2; an interrupted run says how to resume.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from argparse import Namespace
from pathlib import Path

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.files import full_disk_is_told
from advunlearn_lib.cli.command import Parser
from advunlearn_lib.cli.commands import COMMANDS
from advunlearn_lib.report.items import ITEMS

QUIET = {  # the libraries' loading bars and notices would drown ours
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
}
PAPER = """  table1 ... table9, tableA1 ... tableA5, figure1 ... figure8, figureA1 ... figureA3
                   regenerate this item of the paper"""


def overview() -> str:
    """What ``./reproduce.sh --help`` shows."""
    others = [command for command in COMMANDS.values() if command.name not in ITEMS]
    lines = [f"  {command.name:16} {command.help}" for command in others]
    usage = "usage: ./reproduce.sh COMMAND [OPTIONS]     ./reproduce.sh COMMAND --help shows its options"
    installed = "       where pip installed the package: advunlearn COMMAND [OPTIONS]"
    return "\n".join([usage, installed, "", "commands:", PAPER, *lines])


def parse(words: list[str]) -> Namespace:
    """The command that ``words`` begin with, and its options.

    Raises :class:`UserError` for an unknown command, and for an option that it does not take.
    """
    if not words:
        raise UserError("no command given (see ./reproduce.sh --help)")
    command = COMMANDS[choose("command", words[0], COMMANDS)]
    parser = Parser(prog="reproduce.sh")
    parsers = parser.add_subparsers(dest="command")
    own = command.add_parser(parsers)
    if command.name == "test":  # what it does not know is for pytest
        options, rest = parser.parse_known_args(words)
    else:
        named = [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
        refuse([name for name in named if name not in own._option_string_actions], command.name)
        options, rest = parser.parse_known_args(words)
        refuse(rest, command.name)
    options.words, options.rest = words, rest
    return options


def refuse(words: list[str], command: str) -> None:
    """Raise :class:`UserError` for the first of ``words``, which the command does not take."""
    if words:
        raise UserError(f"unknown option {words[0]!r} of {command} (see ./reproduce.sh {command} --help)")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's way to say Ctrl-C
    try:
        if words and words[0] in ("-h", "--help"):
            print(overview())
            return 0
        options = parse(words)
        with full_disk_is_told(Path(getattr(options, "out", None) or ".")):
            return COMMANDS[options.command].run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        resumes = bool(words) and words[0] in COMMANDS and COMMANDS[words[0]].resumes
        resume = f"; what is finished is kept. To resume: ./reproduce.sh {shlex.join(words)}"
        print(f"\ninterrupted{resume if resumes else ''}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
