"""``table3``, ``figure2``, ...: regenerate an item of the paper; ``all`` and ``claims``."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import writable
from advunlearn_lib.cli.command import Command, at_least, seed, stay_offline
from advunlearn_lib.paper.folders import published_folder, results_folder
from advunlearn_lib.paper.items import BEYOND, ITEMS
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.schema import Profile

if TYPE_CHECKING:
    from advunlearn_lib.execute.plan import Job
    from advunlearn_lib.paper.item import Run


def add_profile_options(parser: ArgumentParser) -> None:
    """Which profile, and what of it is changed."""
    add = parser.add_argument
    add(
        "--profile",
        default="pocket",
        help="pocket (default): the shipped small model; paper: Stable Diffusion v1.4",
    )
    add(
        "--base",
        metavar="ID_OR_DIR",
        help="the base model: a pipeline's folder or hub id (default: the profile's)",
    )
    add("--prompts-dir", metavar="DIR", help="paper: local copies of the official prompt files")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting (./reproduce.sh list)",
    )


def overrides_of(options: Namespace) -> list[str]:
    """The profile's changed settings."""
    named = {"base": options.base, "prompts_dir": options.prompts_dir}
    changes = [f"{name}={value}" for name, value in named.items() if value is not None]
    checkpoints = [f"checkpoint={one}" for one in getattr(options, "checkpoint", [])]
    added = [f"add={one.resolve()}" for one in getattr(options, "add", [])]
    return [*options.set, *checkpoints, *added, *changes]


def add_run_options(parser: ArgumentParser) -> None:
    """What a run of the paper's items takes."""
    add_profile_options(parser)
    add = parser.add_argument
    add("--checkpoint", action="append", default=[], metavar="ROW=WHERE",
        help="weights instead of training: 'nudity:ESD:UNet=FILE.pt'; published: the authors'")  # fmt: skip
    add(
        "--quick", action="store_true", help="the smallest real run, under a minute; its numbers mean nothing"
    )
    add("--seed", type=seed, help="seed of training, attack and pictures (default: 0)")
    add("--seeds", type=at_least(1), default=1, metavar="N",
        help="repeat over N seeds and show the spread (default: %(default)s)")  # fmt: skip
    add("--out", type=Path, help="where results go (default: a folder of figures/ for this sort of run)")
    add("--publish", action="store_true", help="write the committed results, figures/published/<profile>")


def add_deviations_options(parser: ArgumentParser) -> None:
    """Add what a run over several seeds takes."""
    add_run_options(parser)
    parser.set_defaults(seeds=BEYOND["deviations"])


def add_claims_options(parser: ArgumentParser) -> None:
    """A run's options, and those by which nothing is computed."""
    add_run_options(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--computed", action="store_true", help="judge the tables computed so far, and compute nothing"
    )
    where.add_argument("--numbers", type=Path, metavar="DIR",
        help="judge the tables in DIR, JSON files of an earlier run, and compute nothing")  # fmt: skip


def add_item_options(parser: ArgumentParser) -> None:
    """A run's options, and where its cells are computed."""
    add_run_options(parser)
    add = parser.add_argument
    add("--processes", type=at_least(1), default=1, metavar="N",
        help="share each cell's prompts and pictures among N processes or GPUs")  # fmt: skip
    add("--executor", default="local", metavar="WHERE",
        help="local (default), ray, or ray://ADDRESS: compute cells on a cluster")  # fmt: skip


def add_table_options(parser: ArgumentParser) -> None:
    """An item's options, and what stands beside the paper's methods and attacks."""
    add_item_options(parser)
    parser.add_argument("--add", action="append", default=[], type=Path, metavar="FILE.py",
        help="put the methods and attacks that a file of yours registers into the table")  # fmt: skip


def open_run(options: Namespace) -> tuple[Profile, dict[str, Any]]:
    """The profile and a notebook's parameters.

    Raises :class:`UserError` for what is unknown or cannot be written.
    """
    overrides = overrides_of(options)
    profile = load_profile(options.profile, overrides, options.quick, options.seed)
    if profile.is_local():
        stay_offline()
    if profile.device != "auto":
        from advunlearn_lib.diffusion.device import device_named

        device_named(profile.device)
    folder = options.out or results_folder(
        options.profile, options.quick, overrides, options.seed, options.seeds
    )
    if options.publish:
        usual = BEYOND.get(options.command, 1)
        added = getattr(options, "add", [])
        if options.quick or options.seed or options.seeds != usual or options.out or added:
            others = "--quick, --seed, --seeds, --out or --add"
            raise UserError(f"--publish writes the plain run: it cannot be combined with {others}")
        folder = published_folder(profile.name)
    parameters = {
        "profile": options.profile,
        "overrides": overrides,
        "quick": options.quick,
        "seed": options.seed,
        "seeds": options.seeds,
        "out": str(writable("output folder", folder.resolve())),
    }
    return profile, parameters


def run_item(options: Namespace) -> int:
    """Compute an item's cells where that was asked for, then execute its notebook."""
    _, parameters = open_run(options)
    if uses_other_processes(options):
        from advunlearn_lib.paper.item import Item, Run
        from advunlearn_lib.paper.reported import jobs_of

        run = Run(**parameters)
        item = Item(options.command, run)
        code = precompute_cells(options, jobs_of(run.studies, item.source), run)
        if code or is_launched():
            return code
    from advunlearn_lib.paper.notebook import execute

    execute(options.command, parameters)
    if options.publish:
        from advunlearn_lib import paper

        paper.outcomes.write(paper.Run(**parameters), [options.command])
    return 0


def run_notebook(options: Namespace) -> int:
    """Execute a notebook that is no item of the paper."""
    from advunlearn_lib.paper.notebook import execute

    execute(options.command, open_run(options)[1])
    return 0


def run_everything(options: Namespace) -> int:
    """Every item, and which claims hold."""
    from advunlearn_lib.paper.item import Run
    from advunlearn_lib.paper.run_all import all_jobs, run_all

    _, parameters = open_run(options)
    run = Run(**parameters)
    if uses_other_processes(options):
        code = precompute_cells(options, all_jobs(run), run)
        if code or is_launched():
            return code
    run_all(run, parameters)
    return 0


def run_claims(options: Namespace) -> int:
    """The claims alone."""
    from advunlearn_lib.paper.item import Run
    from advunlearn_lib.paper.run_all import report_claims

    if options.numbers is not None and not options.numbers.is_dir():
        raise UserError(f"--numbers takes a folder of tables, not {str(options.numbers)!r}")
    report_claims(Run(**open_run(options)[1]), options.numbers, options.computed)
    return 0


def uses_other_processes(options: Namespace) -> bool:
    """Are the cells computed by processes of ``accelerate launch``, or by Ray?"""
    return options.processes > 1 or options.executor != "local"


def is_launched() -> bool:
    """Is this one of the processes of ``accelerate launch``?"""
    return "WORLD_SIZE" in os.environ


def precompute_cells(options: Namespace, jobs: list[Job], run: Run) -> int:
    """Compute ``jobs`` by several processes or by Ray; the usual way then finds them in the store."""
    store = run.study.store
    if options.executor != "local":
        from advunlearn_lib.execute.ray import compute_with_ray

        compute_with_ray(jobs, store, options.executor)
        return 0
    if not is_launched():
        from advunlearn_lib.execute.launch import launch
        from advunlearn_lib.execute.plan import plan
        from advunlearn_lib.execute.preflight import preflight

        todo = plan(jobs, store)
        if not todo:
            return 0
        preflight(todo, store)
        return launch(options.processes, "advunlearn_lib.cli", options.words)
    from advunlearn_lib.execute.pool import compute

    compute(jobs, store, options.command)
    return 0


HELP = "regenerate this item of the paper: its notebook, executed, and its files"
COMMANDS = (
    *(Command(item, HELP, f"{item} --set fid_images=2000",
              add_table_options if item.startswith("table") else add_item_options, run_item, resumes=True)
      for item in ITEMS),
    Command("deviations", "what each deviation of the official codes does to robustness and quality",
            "deviations --seeds 1", add_deviations_options, run_notebook, resumes=True),
    Command("00_tour", "the whole idea on one page: draw, erase, attack, robustify", "00_tour",
            add_run_options, run_notebook),
    Command("all", "every item, and the claims that hold", "all --quick", add_item_options, run_everything,
            resumes=True),
    Command("claims", "the claims alone", "claims --seeds 3", add_claims_options, run_claims, resumes=True),
)  # fmt: skip
