"""The command line behind ``reproduce.sh``. Bad input is one line and exit code 2; an interrupted run says how to resume."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from advunlearn_lib.errors import UserError, choose
from advunlearn_lib.store import ROOT

ITEMS = ("table3",)
STAGES = ("vae", "clip", "judge", "unet")
QUIET = {  # the libraries' loading bars and notices would drown ours
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
}
EPILOG = f"""commands:
  {", ".join(ITEMS):<16} regenerate this item of the paper
  pocket-train     retrain the pocket model from its sprites (--stage {"|".join(STAGES)})
  pocket-quality   measure the pocket model's quality bars
  tune             choose hyper-parameters on the validation concepts
  test             run the tests
  list             list the items and settings"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UserError(message)


def parser() -> argparse.ArgumentParser:
    """All options; their help text is the documentation."""
    p = Parser(prog="reproduce.sh", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("command", help="an item of the paper, or one of the commands below")
    p.add_argument("--profile", default="pocket", help="pocket (default): the shipped small model on a CPU")
    p.add_argument("--seed", type=int, help="seed of training, attack and pictures (default: the profile's, 0)")
    p.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting of the profile")
    p.add_argument("--quick", action="store_true", help="the smallest real run, under a minute; its numbers mean nothing")
    p.add_argument("--out", type=Path, help="where results go (default: figures/<profile>)")
    p.add_argument("--stage", choices=STAGES, help="pocket-train: this stage only")
    p.add_argument("--budget", action="store_true", help="tune: the attack's budget instead of the methods")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    try:
        options, rest = parser().parse_known_args(arguments)
        choose("command", options.command, (*ITEMS, "pocket-train", "pocket-quality", "tune", "test", "list"))
        if rest and options.command != "test":
            raise UserError(f"unknown option {rest[0]!r} (see ./reproduce.sh --help)")
        return run(options, rest)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted; what is finished is kept. To resume: ./reproduce.sh {' '.join(arguments)}", file=sys.stderr)
        return 130


def run(options: argparse.Namespace, rest: list[str]) -> int:
    """Dispatch a command whose words are known to be right."""
    if options.command == "test":
        return subprocess.call([sys.executable, "-m", "pytest", *rest], cwd=ROOT)
    overrides = [*options.set, *([f"seed={options.seed}"] if options.seed is not None else [])]
    from advunlearn_lib import profiles

    profile = profiles.profile(options.profile, overrides, options.quick)
    out = (options.out or ROOT / "figures" / (f"{profile.name}-quick" if options.quick else profile.name)).resolve()
    if options.command == "list":
        print("items: " + ", ".join(ITEMS))
        for name in profiles.SETTABLE:
            print(f"  --set {name}={getattr(profile, name)}")
        return 0
    writable(out)
    if options.command == "pocket-train":
        from advunlearn_lib.pocket.common import Folders
        from advunlearn_lib.pocket.train import train

        folders = Folders(profile.base, profile.sprites, ROOT / "work", out / "training")
        train(folders, (options.stage,) if options.stage else STAGES)
        return 0
    if options.command == "pocket-quality":
        from advunlearn_lib.pocket.quality import report

        report(profile, out / "training")
        return 0
    if options.command == "tune":
        from advunlearn_lib.tuning import tune, tune_budget

        (tune_budget if options.budget else tune)(profile, out / "tuning")
        return 0
    from advunlearn_lib.notebook import execute

    return execute(options.command, profile.name, overrides, options.quick, out)


def writable(folder: Path) -> None:
    """Make ``folder``, or say that it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the output folder {str(folder)!r}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write the output folder {str(folder)!r}: permission denied")


if __name__ == "__main__":
    raise SystemExit(main())
