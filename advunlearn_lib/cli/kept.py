"""A verb's ``--out``: what is finished is kept there, and two runs are never mixed.

The folder is one run's. Its ``run.json`` says everything that shapes the results, and once they are all there
the SHA-256 of each. ``unfinished/`` is a store of what a stopped run has finished, until then.
"""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import Timeout

from advunlearn_lib import __version__
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import atomic, writable
from advunlearn_lib.base.keys import Recipe, sha256_of, sha256_of_file
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.base.sealed import Record
from advunlearn_lib.base.store import Store

RUN, UNFINISHED = "run.json", "unfinished"
PART = "part"  # the kind of cells that a result is put together from
WAY_OUT = "give another --out"
SHOWN, LONGEST = 3, 80  # of what differs: how many, how long


def once(options: Namespace, made_by: Recipe, results: Sequence[str], work: Callable[[Store], str]) -> int:
    """Do ``work``, unless it is done already, and print what it says; the exit code.

    It writes the files that the patterns ``results`` name into ``options.out``; what it keeps in the store
    that it gets is there again when it goes on. ``made_by``: everything that shapes them. Raises
    :class:`UserError`, with nothing written, where the folder holds what another run made, or nobody knows.
    """
    folder: Path = options.out
    recipe = json.loads(json.dumps({"command": options.command, "package": __version__, **made_by}))
    record = read_run(folder)
    if record is None:
        if there := found(folder, results) or [UNFINISHED] * (folder / UNFINISHED).exists():
            raise UserError(f"{str(folder)!r} has {there[0]!r} already, and no {RUN} says whose; {WAY_OUT}")
        record = {"recipe": recipe, "commits": []}
    refuse_another(folder, record["recipe"], recipe)
    if is_whole(folder, record):
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
        print(f"already there: {folder}")
        return 0
    run = {"recipe": recipe, "commits": sorted({*record["commits"], commit()})}
    write_run(writable("output folder", folder), run)
    store = Store(folder / UNFINISHED)
    try:
        with store.lock("run").acquire(timeout=0):
            said = attempt(work, store, folder, results)
            files = {name: sha256_of_file(folder / name) for name in found(folder, results)}
            write_run(folder, run | {"files": files})
            shutil.rmtree(store.root)
    except Timeout:
        raise UserError(f"another process writes to {str(folder)!r} now; wait, or {WAY_OUT}") from None
    print(said)
    return 0


def attempt(work: Callable[[Store], str], store: Store, folder: Path, results: Sequence[str]) -> str:
    """Do ``work(store)``; where it is refused before anything is finished, the folder is nobody's again."""
    try:
        return work(store)
    except UserError:
        if not found(folder, results) and not any(cell.name.startswith(PART) for cell in store.cells()):
            shutil.rmtree(store.root)
            (folder / RUN).unlink()
        raise


def refuse_another(folder: Path, there: Recipe, asked: Recipe) -> None:
    """Raise :class:`UserError` where the run that is ``there`` is not the one that is ``asked`` for."""
    what = differences(there["command"], asked["command"], "command") or differences(there, asked)
    if what:
        listed = "; ".join(what[:SHOWN]) + ("; ..." if len(what) > SHOWN else "")
        raise UserError(f"{str(folder)!r} is another run's: {listed}; {WAY_OUT}")


def found(folder: Path, results: Sequence[str]) -> list[str]:
    """The files in ``folder`` that one of the patterns ``results`` names."""
    files = {path for pattern in results for path in folder.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(folder).as_posix() for path in files)


def read_run(folder: Path) -> Record | None:
    """What ``run.json`` says. Raises :class:`UserError` where it is not what :func:`write_run` wrote."""
    if not (folder / RUN).exists():
        return None
    try:
        record = json.loads((folder / RUN).read_text(encoding="utf-8"))
        if record.pop("sha256") == sha256_of(record):
            return dict(record)
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        pass
    raise UserError(f"{str(folder / RUN)!r} is damaged, or none that a command here wrote; {WAY_OUT}")


def write_run(folder: Path, record: Record) -> None:
    """Write ``run.json``, with its own SHA-256."""
    with atomic(folder / RUN) as temporary:
        temporary.write_text(json.dumps(record | {"sha256": sha256_of(record)}, indent=1))


def is_whole(folder: Path, record: Record) -> bool:
    """Are all results there? Raises :class:`UserError` for one that is not what was written."""
    files: dict[str, str] = record.get("files", {})
    there = [name for name in files if (folder / name).exists()]
    for name in there:
        if sha256_of_file(folder / name) != files[name]:
            changed = f"{str(folder / name)!r} was changed since it was made"
            raise UserError(f"{changed}; move it away to have it made again, or {WAY_OUT}")
    return "files" in record and len(there) == len(files)


def differences(there: Any, asked: Any, name: str = "") -> list[str]:
    """What differs, by name, with both values where they are short."""
    if isinstance(there, dict) and isinstance(asked, dict):
        names = sorted({*there, *asked})
        return [
            one
            for key in names
            for one in differences(there.get(key), asked.get(key), f"{name} {key}".strip())
        ]
    both = f" {there!r}, not {asked!r}"
    return [] if there == asked else [name + (both if len(both) < LONGEST else "")]
