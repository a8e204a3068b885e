"""The command line: find the command, run it.

Bad input is one line and exit code 2; an interrupted run says how to resume.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.cli import doctor, items, listing, models, pocket, store
from advunlearn_lib.cli.command import Command
from advunlearn_lib.paper.items import ITEMS

QUIET = {  # the libraries' loading bars and notices would drown ours
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
}
MOST_TEST_PROCESSES = 4  # each loads the libraries and the model anew


def add_test_options(parser: ArgumentParser) -> None:
    """All other words go to pytest."""
    parser.add_argument("--all", action="store_true", help="also the slow tests: an hour instead of minutes")


def run_tests(options: Namespace) -> int:
    """pytest on the tests of this project, whole files shared out among a process a core."""
    words = options.words[1:]
    chosen = [] if "--all" in words else ["-m", "not slow"]
    processes = min(os.cpu_count() or 1, MOST_TEST_PROCESSES)
    shared = ["-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]
    rest = [word for word in words if word != "--all"]  # the last word counts: -n 0, -m slow
    return subprocess.call([sys.executable, "-m", "pytest", *shared, *chosen, *rest], cwd=ROOT)


TEST = Command(
    "test",
    "run the fast tests, or all; other options go to pytest",
    "test -k attack",
    add_test_options,
    run_tests,
)
COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        *items.COMMANDS,
        doctor.COMMAND,
        *pocket.COMMANDS,
        TEST,
        listing.COMMAND,
        store.COMMAND,
        *models.COMMANDS,
    )
}


def overview() -> str:
    """What ``./reproduce.sh --help`` shows."""
    others = [command for command in COMMANDS.values() if command.name not in ITEMS]
    lines = [f"  {command.name:16} {command.help}" for command in others]
    return "\n".join(
        [
            "usage: ./reproduce.sh COMMAND [OPTIONS]     ./reproduce.sh COMMAND --help shows its options",
            "",
            "commands:",
            "  table1 ... table9, tableA1 ... tableA5, figure1 ... figure8, figureA1 ... figureA3",
            "                   regenerate this item of the paper",
            *lines,
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's way to say Ctrl-C
    command = None
    try:
        if not words:
            raise UserError("no command given (see ./reproduce.sh --help)")
        if words[0] in ("-h", "--help"):
            print(overview())
            return 0
        command = COMMANDS[choose("command", words[0], COMMANDS)]
        if command is TEST and not {"-h", "--help"} & set(words):
            return run_tests(Namespace(words=words))
        return command.run(command.parse(words[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        resume = f"; what is finished is kept. To resume: ./reproduce.sh {shlex.join(words)}"
        print(f"\ninterrupted{resume if command and command.resumes else ''}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
