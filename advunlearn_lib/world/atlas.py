"""The atlas ``data/world/sprites.png``: 48 objects (rows) x 3 artists (columns) of 64 x 64 RGBA sprites.

``tools/pocket_model/build_atlas.py`` built it; the artwork's licences are in NOTICE.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from advunlearn_lib.world.things import THINGS

SPRITE = 64
ARTISTS = ("noto", "twemoji", "fluent")


def load(path: Path) -> np.ndarray:
    """The atlas as uint8 ``[48, 3, 64, 64, 4]`` (object, artist, height, width, RGBA)."""
    pixels = np.asarray(Image.open(path).convert("RGBA"))
    grid = pixels.reshape(len(THINGS), SPRITE, len(ARTISTS), SPRITE, 4)
    return np.ascontiguousarray(grid.transpose(0, 2, 1, 3, 4))
