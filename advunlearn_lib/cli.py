"""The command line behind ``reproduce.sh``. Bad input is one line and exit code 2; an interrupted run says how to resume."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from advunlearn_lib import cli_verbs
from advunlearn_lib.errors import UserError, choose
from advunlearn_lib.files import writable
from advunlearn_lib.names import ITEMS
from advunlearn_lib.store import ROOT

if TYPE_CHECKING:
    from advunlearn_lib.profiles import Profile

COMMANDS = ("all", "claims", "doctor", "pocket-train", "pocket-quality", "tune", "test", "list", *cli_verbs.VERBS)
STAGES = ("vae", "clip", "judge", "unet", "derived")
QUIET = {  # the libraries' loading bars and notices would drown ours
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "PYTHONWARNINGS": "ignore",
}
EPILOG = f"""commands:
  table1 ... table9, tableA1 ... tableA5, figure1 ... figure8, figureA1 ... figureA3
                   regenerate this item of the paper
  all              every item, and which of the paper's claims hold
  claims           the claims alone
  doctor           what this machine lacks for the profile, and all its code at full size (--quick: without the latter)
  pocket-train     retrain the pocket model from its sprites (--stage {"|".join(STAGES)})
  pocket-quality   measure the pocket model's quality bars
  tune             choose hyper-parameters on the validation concepts (--kind broad|style|object)
  test             run the tests
  list             list the items and settings

on a model of your own (./reproduce.sh <verb> --help shows its options):
{chr(10).join(f"  {verb:16} {told}" for verb, told in cli_verbs.VERBS.items())}"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UserError(message)


def parser() -> argparse.ArgumentParser:
    """All options; their help text is the documentation."""
    p = Parser(prog="reproduce.sh", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("command", help="an item of the paper, or one of the commands below")
    p.add_argument("--profile", default="pocket", help="pocket (default): the shipped small model; paper: Stable Diffusion v1.4, on GPUs")
    p.add_argument("--base", metavar="ID_OR_DIR", help="the base model: a pipeline's folder or hub id (default: the profile's)")
    p.add_argument("--checkpoint", action="append", default=[], metavar="ROW=WHERE",
                   help="evaluate weights instead of training: 'nudity:ESD:UNet=FILE.pt', or published for the authors' own")  # fmt: skip
    p.add_argument("--prompts-dir", metavar="DIR", help="paper: local copies of the official prompt files")
    p.add_argument("--seed", type=int, help="seed of training, attack and pictures (default: the profile's, 0)")
    p.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="override a setting of the profile")
    p.add_argument("--quick", action="store_true", help="the smallest real run, under a minute; its numbers mean nothing")
    p.add_argument("--seeds", type=int, default=1, metavar="N", help="repeat over N seeds and show the spread across them")
    p.add_argument("--processes", type=int, default=1, metavar="N", help="share each cell's prompts and pictures among N processes or GPUs")
    p.add_argument(
        "--executor", default="local", metavar="WHERE", help="local (default), ray, or ray://ADDRESS: compute cells on a cluster"
    )
    p.add_argument("--out", type=Path, help="where results go (default: figures/<profile>)")
    p.add_argument("--stage", choices=STAGES, help="pocket-train: this stage only")
    p.add_argument("--kind", choices=("broad", "style", "object"), help="tune: this kind of concept only")
    p.add_argument("--budget", action="store_true", help="tune: the attack's budget instead of the methods")
    return p


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's way to say Ctrl-C
    try:
        if arguments and arguments[0] in cli_verbs.VERBS:
            verb = Parser(prog=f"reproduce.sh {arguments[0]}", description=cli_verbs.VERBS[arguments[0]])
            cli_verbs.add_options(verb, arguments[0])
            return cli_verbs.run_verb(arguments[0], verb.parse_args(arguments[1:]))
        options, rest = parser().parse_known_args(arguments)
        choose("command", options.command, (*ITEMS, *COMMANDS))
        if options.profile == "pocket" and not options.base:
            os.environ.setdefault("HF_HUB_OFFLINE", "1")  # all it needs is here
        if rest and options.command != "test":
            raise UserError(f"unknown option {rest[0]!r} (see ./reproduce.sh --help)")
        words = list(arguments)
        words.remove(options.command)
        return run(options, rest, words)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted; what is finished is kept. To resume: ./reproduce.sh {' '.join(arguments)}", file=sys.stderr)
        return 130


def run(options: argparse.Namespace, rest: list[str], words: list[str]) -> int:
    """Dispatch a command; ``words`` are what stood beside it."""
    if options.command == "test":
        return subprocess.call([sys.executable, "-m", "pytest", *rest], cwd=ROOT)
    own = {"seed": options.seed, "base": options.base, "prompts_dir": options.prompts_dir}
    overrides = [
        *options.set,
        *(f"checkpoint={one}" for one in options.checkpoint),
        *(f"{name}={value}" for name, value in own.items() if value is not None),
    ]
    from advunlearn_lib import profiles

    profile = profiles.profile(options.profile, overrides, options.quick)
    out = (options.out or ROOT / "figures" / (f"{profile.name}-quick" if options.quick else profile.name)).resolve()
    if options.command == "list":
        print("items: " + ", ".join(ITEMS))
        for name in profiles.SETTABLE:
            print(f"  --set {name}={getattr(profile, name)}")
        return 0
    writable("output folder", out)
    if options.command == "pocket-train":
        from advunlearn_lib.pocket.common import Folders
        from advunlearn_lib.pocket.train import train

        folders = Folders(Path(profile.base), profile.sprites, ROOT / "work", out / "training")
        train(folders, (options.stage,) if options.stage else STAGES)
        return 0
    if options.command == "pocket-quality":
        from advunlearn_lib.pocket.quality import report

        report(profile, out / "training")
        return 0
    if options.command == "tune":
        from advunlearn_lib.tuning import tune, tune_budget

        if options.budget:
            tune_budget(profile, out / "tuning")
        else:
            tune(profile, out / "tuning", *([(options.kind,)] if options.kind else []))
        return 0
    if options.command == "doctor":
        from advunlearn_lib.doctor import report as examine
        from advunlearn_lib.study import Study

        return examine(profile, Study(profile).store.root, not options.quick)
    if options.command in ("all", *ITEMS) and (options.processes > 1 or options.executor != "local"):
        code = elsewhere(options, [options.command, *words], profile, overrides)
        if code or "WORLD_SIZE" in os.environ:
            return code
    if options.command in ("all", "claims"):
        from advunlearn_lib.paper import everything
        from advunlearn_lib.paper.item import Item

        item = Item("table5", profile.name, overrides, options.quick, options.seeds, str(out))
        return everything.run_all(item, words, out) if options.command == "all" else everything.report_claims(item, out)
    from advunlearn_lib.notebook import execute

    return execute(options.command, profile.name, overrides, options.quick, options.seeds, out)


def elsewhere(options: argparse.Namespace, words: list[str], profile: Profile, overrides: list[str]) -> int:
    """Compute the item's cells by several processes or by Ray; the usual way then finds them in the store."""
    from advunlearn_lib import shards
    from advunlearn_lib.paper import cells, everything
    from advunlearn_lib.paper.item import Item
    from advunlearn_lib.parallel import compute

    if options.processes > 1 and options.executor == "local" and "WORLD_SIZE" not in os.environ:
        return shards.launch(options.processes, words)
    item = Item("table5" if options.command == "all" else options.command, profile.name, overrides, options.quick, options.seeds)
    every = [study.profile for study in item.studies]
    tasks = everything.all_tasks(item) if options.command == "all" else cells.tasks(every, item.source)
    if options.executor == "local":
        compute(tasks, item.study.store, options.command)
    else:
        from advunlearn_lib.ray_executor import compute_with_ray

        compute_with_ray(tasks, item.study.store, options.executor, profile.gpus)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
