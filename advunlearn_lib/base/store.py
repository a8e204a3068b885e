"""Results kept by what made them: a recipe is hashed, and a finished cell is never computed again.

``<root>/<kind>-<key>/`` holds ``result.json`` (the recipe, its result and
where it came from) beside any files the cell made; all are hashed
(``sealed.py``), and what is not what was written is never read: such a cell
is set aside as ``<kind>-<key>.damaged-N`` and computed again. A cell in
progress lives in ``<kind>-<key>.partial/``, where a stopped run finds its
checkpoints.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor

from advunlearn_lib.base.files import atomic, full_disk_is_told, set_aside, writable
from advunlearn_lib.base.keys import DIGITS, Recipe, key_of
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.base.sealed import RESULT, Damaged, Record, check, read_record, seal

CELL = re.compile(rf".+-[0-9a-f]{{{DIGITS}}}")  # the name of a finished cell
PARTIAL = ".partial"
TENSORS = "tensors.safetensors"


class Store:
    """A folder of finished cells, shared by any number of processes."""

    def __init__(self, root: Path) -> None:
        self.root = writable("store", root)

    def folder(self, kind: str, recipe: Recipe) -> Path:
        """Where the finished cell lives."""
        return self.root / f"{kind}-{key_of(recipe)}"

    def lock(self, name: str) -> FileLock:
        """What a process holds while it makes the cell ``name``, or sets it aside."""
        return FileLock(self.root / f".{name}.lock")

    def read(self, kind: str, recipe: Recipe) -> Record | None:
        """A finished cell's ``result.json``, or None; with it, all files in the cell's folder are checked.

        A damaged cell is named, set aside and so computed again.
        """
        folder = self.folder(kind, recipe)
        try:
            return check(folder) if folder.exists() else None
        except Damaged:
            with self.lock(folder.name):  # another process may have set it aside, and made it anew
                return self._read(folder)

    def _read(self, folder: Path) -> Record | None:
        """:meth:`read`, for the holder of the lock."""
        try:
            return check(folder) if folder.exists() else None
        except Damaged as damage:
            where = f"the stored result {folder / damage.file} is damaged ({damage})"
            print(f"{where}; set aside as {set_aside(folder).name}, computing it again", flush=True)
            return None

    def cell(self, kind: str, recipe: Recipe, compute: Callable[[Path], Any]) -> Record:
        """The record of ``recipe``, by ``compute(folder)``, which returns JSON, where nobody has it yet."""
        if (record := self.read(kind, recipe)) is not None:
            return record
        final = self.folder(kind, recipe)
        with self.lock(final.name), full_disk_is_told(self.root):
            if (record := self._read(final)) is not None:
                return record
            partial = final.with_name(f"{final.name}{PARTIAL}")
            partial.mkdir(exist_ok=True)
            began = time.monotonic()
            result = compute(partial)
            seconds = round(time.monotonic() - began, 1)
            made = {"kind": kind, "recipe": recipe, "result": result, "commit": commit(), "seconds": seconds}
            record = seal(partial, made)
            with atomic(partial / RESULT) as temporary:
                temporary.write_text(json.dumps(record, indent=1, sort_keys=True))
            partial.rename(final)
        return record

    def tensors(self, kind: str, recipe: Recipe, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of ``recipe``, made by ``make`` if nobody has yet."""

        def compute(folder: Path) -> None:
            save_file({name: value.contiguous() for name, value in make().items()}, folder / TENSORS)

        self.cell(kind, recipe, compute)
        return load_file(self.folder(kind, recipe) / TENSORS)

    def cells(self) -> list[Path]:
        """The folders of all finished cells, damaged or not."""
        return sorted(path for path in self.root.iterdir() if CELL.fullmatch(path.name))

    def records(self) -> list[tuple[str, Record]]:
        """(kind, record) of every finished cell; a damaged one is left out here and named when it is read."""
        records = []
        for folder in self.cells():
            try:
                record = read_record(folder)
            except Damaged:
                continue
            records.append((record["kind"], record))
        return records


class Cache(NamedTuple):
    """A store for what a training run rests on; ``recipe`` names the model it is made by."""

    store: Store
    recipe: Recipe

    def tensors(self, kind: str, recipe: Recipe, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """As :meth:`Store.tensors`, under this model."""
        return self.store.tensors(kind, self.recipe | recipe, make)
