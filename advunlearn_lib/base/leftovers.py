"""What a store can do without: what was set aside, cells left half made, locks that nobody holds."""

from __future__ import annotations

import shutil
from pathlib import Path

from filelock import Timeout

from advunlearn_lib.base.files import ASIDE
from advunlearn_lib.base.store import CELL, PARTIAL, Store


def leftovers(store: Store, remove: bool = False) -> dict[Path, int]:
    """The size in bytes of each leftover, which is gone then if ``remove``.

    A finished cell is never one, nor is what a process is making now.
    """
    root, found = store.root, dict[Path, int]()
    names = {path.name.removesuffix(PARTIAL) for path in root.glob(f"*{PARTIAL}")}
    names |= {path.name.removeprefix(".").removesuffix(".lock") for path in root.glob(".*.lock")}
    for name in sorted(filter(CELL.fullmatch, names)):
        found |= of_cell(store, name, remove)
    aside = [path for path in root.glob(f"*{ASIDE}*") if CELL.fullmatch(path.name.partition(ASIDE)[0])]
    aside += [path for cell in store.cells() for path in cell.glob(f"*{ASIDE}*")]  # checkpoints
    for path in sorted(aside):
        found[path] = freed(path, remove)
    return found


def of_cell(store: Store, name: str, remove: bool) -> dict[Path, int]:
    """The half-made cell ``name`` and its lock, where no process holds it."""
    partial, lock = store.root / f"{name}{PARTIAL}", store.lock(name)
    file = Path(lock.lock_file)
    was_there = file.exists()
    try:
        with lock.acquire(timeout=0):
            found = {path: freed(path, remove) for path in (partial, file) if path.exists()}
            if not was_there:
                file.unlink(missing_ok=True)
                del found[file]
            return found
    except Timeout:
        return {}


def freed(path: Path, remove: bool) -> int:
    """The bytes of a file, or of all files in a folder; it is gone then if ``remove``."""
    files = [path, *path.rglob("*")]
    size = sum(file.lstat().st_size for file in files if not file.is_dir())
    if remove:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return size
