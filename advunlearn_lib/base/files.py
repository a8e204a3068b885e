"""Files written whole or not at all."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from advunlearn_lib.base.errors import UserError

ASIDE = ".damaged-"
FULL = ("No space left on device", "Disk quota exceeded")  # as the system says it


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place only when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename what is damaged to the first free ``<name>.damaged-N`` beside it; its new place."""
    names = (f"{path.name}{ASIDE}{number}" for number in itertools.count(1))
    return path.rename(next(path.with_name(name) for name in names if not path.with_name(name).exists()))


def writable(what: str, folder: Path) -> Path:
    """``folder``, made if need be. Raises :class:`UserError` where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write the {what} {str(folder)!r}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write the {what} {str(folder)!r}: permission denied")
    return folder


@contextmanager
def full_disk_is_told(folder: Path) -> Iterator[None]:
    """Turn what libraries raise when no space is left into a :class:`UserError` that names ``folder``."""
    try:
        yield
    except Exception as error:  # OSError, or safetensors' own
        if not any(said in str(error) for said in FULL):
            raise
        remedy = "make room and run the same command again; what is finished is kept"
        raise UserError(f"no space is left on the disk of {str(folder)!r}: {remedy}") from error


def check_disk(what: str, folder: Path, gigabytes: float) -> None:
    """Raise :class:`UserError` where less than ``gigabytes`` are free for ``folder``, made or not."""
    place = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    if free < gigabytes:
        raise UserError(
            f"only {free:.1f} GB are free for the {what} {str(folder)!r}; about {gigabytes:.3g} GB are needed"
        )
