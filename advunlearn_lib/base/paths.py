"""Where things are: the code, the repository, its shipped data, its results, the store.

A package that pip has installed lies in no repository; there the environment variable ADVUNLEARN_DATA names a
clone of it, or the clone's folder ``data``.
"""

from __future__ import annotations

import os
from pathlib import Path

CODE = Path(__file__).resolve().parents[2]  # what has to be on a path of Python


def repository() -> Path:
    """The clone that the code lies in, else the one that is named; without either the code's folder."""
    named = os.environ.get("ADVUNLEARN_DATA", "")
    if not named or (CODE / "data" / "pocket").is_dir():
        return CODE
    folder = Path(named).expanduser().resolve()
    return folder.parent if (folder / "pocket").is_dir() else folder


ROOT = repository()
DATA = ROOT / "data"
FIGURES = ROOT / "figures"
WORK = ROOT / "work"  # trainings of the pocket model
PUBLISHED = FIGURES / "published"  # committed results, a folder a profile; only --publish writes there
NO_DATA = (
    f"no pocket model in {DATA}: it comes with a clone of the repository, not with the installed package "
    "(git clone it, and set ADVUNLEARN_DATA to the clone's folder)"
)


def shipped(name: str) -> str:
    """``data/...``, where there is no such path from here, as the repository's; any other name as it is."""
    there = ROOT / name
    return str(there) if name.startswith("data/") and there.exists() and not Path(name).exists() else name


def store_root(profile: str) -> Path:
    """The folder of a profile's finished cells; the environment variable ADVUNLEARN_STORE moves it."""
    return Path(os.environ.get("ADVUNLEARN_STORE", ROOT / "store")) / profile
