"""The seal of a finished cell: its record holds the SHA-256 of each of its files, and its own.

``files`` maps each file's name, relative to the cell's folder, to its SHA-256;
``sha256`` is that of the rest of the record as canonical JSON. Hidden files and
those set aside are none of the cell's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from advunlearn_lib.base.files import ASIDE
from advunlearn_lib.base.keys import key_of, sha256_of, sha256_of_file

Record = dict[str, Any]
RESULT = "result.json"
OTHER = "its content is not what was written: another SHA-256"


class Damaged(ValueError):
    """What is wrong with ``file`` of a finished cell, in one line."""

    def __init__(self, file: str, reason: object) -> None:
        super().__init__(reason.strerror if isinstance(reason, OSError) else str(reason))
        self.file = file


def files_of(folder: Path) -> list[str]:
    """The files of a cell beside its record, by their names relative to its folder."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    mine = [name for name in found if not any(part[0] == "." or ASIDE in part for part in name.parts)]
    return sorted(name.as_posix() for name in mine if name != Path(RESULT))


def seal(folder: Path, record: Record) -> Record:
    """``record`` as JSON gives it back, with the hashes of the files in ``folder`` and its own."""
    files = {name: sha256_of_file(folder / name) for name in files_of(folder)}
    record = json.loads(json.dumps(record | {"files": files}))
    return record | {"sha256": sha256_of(record)}


def read_record(folder: Path) -> Record:
    """The record of the cell in ``folder``. Raises :class:`Damaged` where it is not what was written."""
    try:
        record = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it is no record")
        rest = {name: value for name, value in record.items() if name != "sha256"}
        if "sha256" not in record:
            raise ValueError("it has no SHA-256: an older version made it")
        if record["sha256"] != sha256_of(rest):
            raise ValueError(OTHER)
        if f"{record['kind']}-{key_of(record['recipe'])}" != folder.name:
            raise ValueError("it is another cell's")
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(RESULT, error) from None
    return record


def check(folder: Path) -> Record:
    """The record of the cell in ``folder``.

    Raises :class:`Damaged` where it, or a file of the cell, is not what was written.
    """
    record = read_record(folder)
    written, present = record["files"], files_of(folder)
    for name in sorted({*written, *present}):
        if name not in present:
            raise Damaged(name, "it is missing")
        if name not in written:
            raise Damaged(name, "it is no file of this cell")
        try:
            digest = sha256_of_file(folder / name)
        except OSError as error:
            raise Damaged(name, error) from None
        if digest != written[name]:
            raise Damaged(name, OTHER)
    return record
