"""Keys by content.

A recipe and a model have the same key on any machine, and another one when anything that matters changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from advunlearn_lib.base.errors import UserError

Recipe = dict[str, Any]
DIGITS = 16
NO_MEANING = (".md", ".png", ".jpg", ".jpeg", ".lock", "")  # beside a model: cards, samples, licences
_digests: dict[tuple[int, ...], str] = {}  # of files, by inode, size and time


def sha256_of(value: Any) -> str:
    """The SHA-256 of ``value`` as canonical JSON, in hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file, in hex digits. A process reads a file once, and again if it was written to."""
    status = path.stat()
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if identity not in _digests:
        with path.open("rb") as file:
            _digests[identity] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[identity]


def key_of(recipe: Recipe) -> str:
    """The first 16 hex digits of the recipe's SHA-256."""
    return sha256_of(recipe)[:DIGITS]


def key_of_files(files: Iterable[Path], folder: Path) -> str:
    """SHA-256 over ``files``, by their names below ``folder`` and their contents."""
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        digest.update(path.relative_to(folder).as_posix().encode() + content.digest())
    return digest.hexdigest()[:DIGITS]


@cache
def fingerprint(model: str | Path) -> str:
    """The key of a model: of a folder's weights, or of one file.

    A folder's weights count in every format, with its configurations and vocabularies. A hub id with its
    revision stands for itself. Raises :class:`UserError` for a folder without any of them.
    """
    path = Path(model)
    if not path.exists():
        return str(model)
    if path.is_file():
        return key_of_files([path], path)
    files = [file for file in path.rglob("*") if file.is_file() and means_something(file.relative_to(path))]
    if not files:
        raise UserError(f"the model folder {str(path)!r} is empty")
    return key_of_files(files, path)


def means_something(file: Path) -> bool:
    """Is ``file``, named relative to its model's folder, more than documentation or a hidden file?"""
    return file.suffix.lower() not in NO_MEANING and not any(part.startswith(".") for part in file.parts)
