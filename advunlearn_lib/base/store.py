"""Results kept by what made them: a recipe is hashed, and a finished cell is never computed again.

``<root>/<kind>-<key>/`` holds ``result.json`` (the recipe, its result and
where it came from) beside any files the cell made. A cell in progress lives
in ``<kind>-<key>.partial/``, where a stopped run finds its checkpoints.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from advunlearn_lib.base.files import atomic, writable
from advunlearn_lib.base.keys import Recipe, key_of
from advunlearn_lib.base.provenance import commit

Record = dict[str, Any]
TENSORS = "tensors.safetensors"


class Store:
    """A folder of finished cells, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = writable("store", root)

    def folder(self, kind: str, recipe: Recipe) -> Path:
        """Where the finished cell lives."""
        return self.root / f"{kind}-{key_of(recipe)}"

    def read(self, kind: str, recipe: Recipe) -> Record | None:
        """A finished cell's ``result.json``, or None.

        A damaged one is named, set aside and so computed again.
        """
        path = self.folder(kind, recipe) / "result.json"
        if not path.exists():
            return None
        try:
            record = read_record(path)
            if record["recipe"] != json.loads(json.dumps(recipe)):
                raise ValueError("it holds another recipe")
            return record
        except ValueError as error:
            self.forget(kind, recipe, str(error), path.name)
            return None

    def forget(self, kind: str, recipe: Recipe, reason: str, file: str = "") -> None:
        """Name a damaged cell, or the damaged ``file`` of it, and drop it; it is then computed again."""
        folder = self.folder(kind, recipe)
        print(f"the stored result {folder / file} is damaged ({reason}); computing it again", flush=True)
        shutil.rmtree(folder)

    def cell(self, kind: str, recipe: Recipe, compute: Callable[[Path], Any]) -> Record:
        """The record of ``recipe``, computed by
        ``compute(folder)`` (which returns JSON) if nobody has yet.
        """
        if (record := self.read(kind, recipe)) is not None:
            return record
        final = self.folder(kind, recipe)
        with FileLock(self.root / f".{final.name}.lock"):
            if (record := self.read(kind, recipe)) is not None:
                return record
            partial = final.with_name(f"{final.name}.partial")
            partial.mkdir(exist_ok=True)
            began = time.monotonic()
            result = compute(partial)
            seconds = round(time.monotonic() - began, 1)
            record = {"recipe": recipe, "result": result, "commit": commit(), "seconds": seconds}
            with atomic(partial / "result.json") as temporary:
                temporary.write_text(json.dumps(record, indent=1, sort_keys=True))
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
        return record

    def tensors(self, kind: str, recipe: Recipe, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of ``recipe``, made by ``make`` if
        nobody has yet; a damaged file is named and made again.
        """

        def compute(folder: Path) -> None:
            save_file({name: value.contiguous() for name, value in make().items()}, folder / TENSORS)

        for _ in range(2):
            self.cell(kind, recipe, compute)
            try:
                return load_file(self.folder(kind, recipe) / TENSORS)
            except (OSError, SafetensorError) as error:
                self.forget(kind, recipe, str(error), TENSORS)
        raise OSError(f"{self.folder(kind, recipe)} cannot be read back")

    def records(self) -> list[tuple[str, Record]]:
        """(kind, record) of every finished cell; a damaged one is left out here and named when it is read."""
        records = []
        for path in self.root.glob("*/result.json"):
            try:
                records.append((path.parent.name.rsplit("-", 1)[0], read_record(path)))
            except ValueError:
                continue
        return records


def read_record(path: Path) -> Record:
    """A ``result.json``. Raises ``ValueError`` for what is not one."""
    record = json.loads(path.read_text())
    if not isinstance(record, dict) or not {"recipe", "result", "seconds"} <= record.keys():
        raise ValueError("it lacks a recipe, its result or its time")
    if not isinstance(record["recipe"], dict) or not isinstance(record["seconds"], int | float):
        raise ValueError("its recipe or its time is of another type")
    return record


class Cache(NamedTuple):
    """A store for what a training run rests on; ``recipe`` names the model it is made by."""

    store: Store
    recipe: Recipe

    def tensors(self, kind: str, recipe: Recipe, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """As :meth:`Store.tensors`, under this model."""
        return self.store.tensors(kind, self.recipe | recipe, make)
