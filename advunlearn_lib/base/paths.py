"""Where things are: the repository, its shipped data, its results, the store."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
FIGURES = ROOT / "figures"
PUBLISHED = FIGURES / "published"  # committed results, a folder a profile; only --publish writes there


def store_root(profile: str) -> Path:
    """The folder of a profile's finished cells; the environment variable ADVUNLEARN_STORE moves it."""
    return Path(os.environ.get("ADVUNLEARN_STORE", ROOT / "store")) / profile
