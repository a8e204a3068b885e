"""Results keyed by what made them: a recipe is hashed, and a finished cell is never computed again.

``<root>/<kind>-<key>/`` holds ``result.json`` (the recipe, its result and where it came from) beside any files the cell
made. A cell in progress lives in ``<kind>-<key>.partial/``, where a stopped run finds its checkpoints.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from advunlearn_lib.errors import UserError
from advunlearn_lib.files import atomic, writable

Recipe = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent


def key_of(recipe: Recipe) -> str:
    """The first 16 hex digits of the SHA-256 of the recipe as canonical JSON."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


@cache
def fingerprint(model: str | Path) -> str:
    """SHA-256 over a model folder's weights and configurations, by name and content: the same on any machine.

    A hub id with its revision stands for itself.
    """
    folder = Path(model)
    if not folder.exists():
        return str(model)
    if folder.is_file():
        return hashlib.sha256(folder.read_bytes()).hexdigest()[:16]
    digest, files = hashlib.sha256(), [path for path in sorted(folder.rglob("*")) if path.suffix in (".safetensors", ".json")]
    if not files:
        raise UserError(f"the model folder {str(folder)!r} is missing or empty")
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


@cache
def commit() -> str:
    """The code's git commit, with ``+`` when the tree differs from it; "unknown" outside a checkout."""
    try:
        sha = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "advunlearn_lib", "data"], cwd=ROOT, check=False)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return sha.stdout.strip() + ("+" if dirty.returncode else "")


def sort_of(kind: str, recipe: Recipe) -> str:
    """Cells of one sort take about equally long: a method's models, an attack, so many pictures."""
    return f"{kind} {recipe.get('method') or recipe.get('attack') or recipe.get('images', '')}".strip()


class Store:
    """Cells under ``root``. Raises :class:`UserError` where ``root`` cannot be written."""

    def __init__(self, root: Path) -> None:
        self.root = writable("store", root)

    def folder(self, kind: str, recipe: Recipe) -> Path:
        """Where the finished cell lives."""
        return self.root / f"{kind}-{key_of(recipe)}"

    def read(self, kind: str, recipe: Recipe) -> dict[str, Any] | None:
        """A finished cell's ``result.json``, or None. A damaged one is named, set aside and so computed again."""
        path = self.folder(kind, recipe) / "result.json"
        if not path.exists():
            return None
        try:
            record: dict[str, Any] = json.loads(path.read_text())
            if record["recipe"] != json.loads(json.dumps(recipe)):
                raise ValueError("it holds another recipe")
            return record
        except (ValueError, KeyError) as error:
            self.forget(path, str(error))
            return None

    def forget(self, path: Path, reason: str) -> None:
        """Name a damaged file and drop its cell, which is then computed again."""
        print(f"the stored result {path} is damaged ({reason}); computing it again", flush=True)
        shutil.rmtree(path.parent if path.name == "result.json" else path)

    def seconds(self) -> dict[str, list[float]]:
        """What finished cells took to compute, by :func:`sort_of`."""
        found: dict[str, list[float]] = {}
        for path in self.root.glob("*/result.json"):
            record = json.loads(path.read_text())
            found.setdefault(sort_of(path.parent.name.split("-")[0], record["recipe"]), []).append(record["seconds"])
        return found

    def cell(self, kind: str, recipe: Recipe, compute: Callable[[Path], Any]) -> dict[str, Any]:
        """The record of ``recipe``, computed by ``compute(folder)`` (which returns JSON) if nobody has yet."""
        if (record := self.read(kind, recipe)) is not None:
            return record
        final = self.folder(kind, recipe)
        with (self.root / f".{final.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (record := self.read(kind, recipe)) is not None:
                return record
            partial = final.with_name(f"{final.name}.partial")
            partial.mkdir(exist_ok=True)
            began = time.monotonic()
            result = compute(partial)
            record = {"recipe": recipe, "result": result, "commit": commit(), "seconds": round(time.monotonic() - began, 1)}
            with atomic(partial / "result.json") as temporary:
                temporary.write_text(json.dumps(record, indent=1, sort_keys=True))
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
        return record
