"""Draw scenes of the pocket world.

An emoji near the centre of a procedural background, under a painter's style. Everything is drawn in floats in
[0, 1], ``[64, 64, 3]``, from an explicit ``numpy`` generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from advunlearn_lib.world.things import PLACES, STYLES

SIZE = 64
Picture = NDArray[np.float32]
Pixels = NDArray[np.uint8]
ROWS, COLUMNS = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
PLACE_NAMES, STYLE_NAMES = tuple(PLACES), tuple(STYLES)
PHOTO_SHARE, NOWHERE_SHARE = 0.4, 0.4

GROUND = {  # place -> sky at the top, sky at the horizon, ground near, ground far
    "snow": ((0.62, 0.75, 0.90), (0.85, 0.92, 0.98), (0.97, 0.98, 1.00), (0.86, 0.90, 0.97)),
    "grass": ((0.45, 0.70, 0.98), (0.80, 0.92, 1.00), (0.30, 0.66, 0.22), (0.48, 0.78, 0.34)),
    "sea": ((0.55, 0.80, 0.98), (0.88, 0.95, 0.98), (0.05, 0.32, 0.60), (0.16, 0.55, 0.75)),
    "desert": ((0.95, 0.72, 0.42), (0.99, 0.88, 0.66), (0.86, 0.62, 0.32), (0.94, 0.78, 0.50)),
    "night": ((0.03, 0.04, 0.16), (0.14, 0.14, 0.36), (0.05, 0.06, 0.12), (0.10, 0.12, 0.20)),
    "city": ((0.66, 0.70, 0.76), (0.86, 0.88, 0.90), (0.30, 0.30, 0.33), (0.44, 0.44, 0.47)),
}


@dataclass(frozen=True)
class Scene:
    """What one picture shows: indices into OBJECTS, PLACES and STYLES, its caption, whose sprite it has."""

    thing: int
    place: int
    style: int
    caption: str
    artist: int = 0


def smooth_noise(rng: np.random.Generator, cells: int, channels: int = 1) -> Picture:
    """Values in about [-1, 1], interpolated from a ``cells x cells`` grid: ``[64, 64, channels]``."""
    grid = rng.uniform(-1, 1, (cells, cells, channels))
    return np.asarray(zoom(grid, (SIZE / cells, SIZE / cells, 1), order=1), np.float32)


def background(place: str, rng: np.random.Generator) -> Picture:
    """Sky and ground of a place; *nowhere* is near-white paper."""
    if place == "nowhere":
        tone = rng.uniform(0.92, 1.0) + rng.uniform(-0.02, 0.02, 3)
        return np.broadcast_to(np.clip(tone, 0, 1), (SIZE, SIZE, 3)).astype(np.float32)
    colours = [np.array(colour) + rng.uniform(-0.04, 0.04, 3) for colour in GROUND[place]]
    top, rim, near, far = np.clip(colours, 0, 1)
    horizon = rng.integers(30, 44)
    share = np.clip(ROWS / horizon, 0, 1)[..., None]
    depth = np.clip((ROWS - horizon) / (SIZE - horizon), 0, 1)[..., None]
    picture = np.where(ROWS[..., None] < horizon, top + (rim - top) * share, far + (near - far) * depth)
    if place == "night":
        for row, column in zip(rng.integers(0, horizon, 14), rng.integers(0, SIZE, 14), strict=True):
            picture[row, column : column + 2] = (1.0, 1.0, 0.85)
    elif place == "sea":
        waves = np.sin(ROWS * 1.1 + 3 * np.sin(COLUMNS * 0.2 + rng.uniform(0, 6)))
        picture += 0.06 * np.where(horizon < ROWS, waves, 0)[..., None]
    elif place == "city":
        left = 0
        while left < SIZE:
            width, height = int(rng.integers(7, 14)), int(rng.integers(12, horizon))
            picture[horizon - height : horizon, left : left + width - 1] = rng.uniform(
                0.40, 0.62
            ) + rng.uniform(-0.04, 0.04, 3)
            picture[horizon - height + 2 : horizon : 4, left + 2 : left + width - 2 : 3] = (0.95, 0.88, 0.55)
            left += width
    else:
        texture = 0.05 * smooth_noise(rng, 16)
        picture += np.where(ROWS[..., None] > horizon, texture, 0)
    return np.clip(picture, 0, 1).astype(np.float32)


def compose(sprite: NDArray[np.uint8], place: str, rng: np.random.Generator) -> Picture:
    """A 44-57 px sprite, flipped half the time, within 3 px of the centre of its background."""
    picture = background(place, rng)
    size = int(rng.integers(44, 58))
    top, left = (int((SIZE - size) // 2 + rng.integers(-3, 4)) for _ in range(2))
    scaled = Image.fromarray(sprite).resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(scaled, np.float32) / 255
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    alpha = pixels[..., 3:]
    spot = picture[top : top + size, left : left + size]
    spot[:] = alpha * pixels[..., :3] + (1 - alpha) * spot
    return picture


def photo(picture: Picture, rng: np.random.Generator) -> Picture:
    """A slight change of exposure."""
    return picture * rng.uniform(0.93, 1.05) + rng.uniform(-0.02, 0.02)


def ramp(values: Picture, colours: NDArray[np.float64]) -> Picture:
    """Map values in [0, 1] to a colour ramp ``[k, 3]``."""
    stops = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(values, stops, colours[:, channel]) for channel in range(3)], -1).astype(
        np.float32
    )


def van_gogh(picture: Picture, rng: np.random.Generator) -> Picture:
    """Swirling strokes: a smooth warp, stripes along it, and a palette from deep blue to yellow."""
    flow = smooth_noise(rng, 6, 2)
    where = np.stack([ROWS + 2.2 * flow[..., 0], COLUMNS + 2.2 * flow[..., 1]])
    warped = np.stack(
        [map_coordinates(picture[..., c], where, order=1, mode="nearest") for c in range(3)], -1
    )
    strokes = np.sin(0.9 * (ROWS + 0.6 * COLUMNS) + 5.0 * flow[..., 0] + rng.uniform(0, 6))
    light = np.clip(warped.mean(-1) + 0.10 * strokes, 0, 1)
    palette = np.array(
        [(0.02, 0.05, 0.25), (0.10, 0.25, 0.62), (0.25, 0.52, 0.70), (0.85, 0.72, 0.20), (0.99, 0.92, 0.50)]
    )
    return 0.65 * ramp(light, palette) + 0.35 * warped + 0.04 * strokes[..., None].astype(np.float32)


def picasso(picture: Picture, rng: np.random.Generator) -> Picture:
    """Cubist shards: Voronoi cells, each shifted and tinted, posterised, with dark seams."""
    sites = rng.uniform(0, SIZE, (11, 2))
    distance = (ROWS[..., None] - sites[:, 0]) ** 2 + (COLUMNS[..., None] - sites[:, 1]) ** 2
    nearest = np.sqrt(np.sort(distance, -1)[..., :2])
    cell = distance.argmin(-1)
    shift = rng.integers(-3, 4, (11, 2))
    rows = np.clip(ROWS.astype(int) + shift[cell, 0], 0, SIZE - 1)
    columns = np.clip(COLUMNS.astype(int) + shift[cell, 1], 0, SIZE - 1)
    shards = picture[rows, columns] + rng.uniform(-0.12, 0.12, (11, 1))[cell]
    shards = np.round(np.clip(shards, 0, 1) * 4) / 4 * np.array((0.95, 0.82, 0.68), np.float32)
    return np.where((nearest[..., 1:] - nearest[..., :1]) < 1.3, 0.15, shards).astype(np.float32)


def monet(picture: Picture, rng: np.random.Generator) -> Picture:
    """Impressionist haze: blurred, pastel, dappled with soft patches of colour."""
    soft = gaussian_filter(picture, (1.1, 1.1, 0))
    return 0.60 * soft + 0.36 * np.array((0.90, 0.82, 0.98), np.float32) + 0.13 * smooth_noise(rng, 13, 3)


POP = np.array(
    [
        [(0.10, 0.05, 0.35), (0.95, 0.10, 0.55), (1.00, 0.55, 0.10), (1.00, 0.95, 0.20)],
        [(0.05, 0.10, 0.10), (0.00, 0.55, 0.65), (0.95, 0.25, 0.60), (0.70, 1.00, 0.85)],
        [(0.25, 0.00, 0.30), (0.85, 0.15, 0.20), (0.20, 0.80, 0.40), (1.00, 0.80, 0.95)],
    ]
)


def warhol(picture: Picture, rng: np.random.Generator) -> Picture:
    """Silkscreen pop art: brightness in four flat steps, printed in one of three loud sets of inks."""
    light = picture.mean(-1)
    light = (light - light.min()) / max(1e-3, float(light.max() - light.min()))
    steps = np.clip((light * 4).astype(int), 0, 3)
    return POP[rng.integers(len(POP))][steps].astype(np.float32) * rng.uniform(0.94, 1.0)


PAINT: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    "photo": photo,
    "van gogh": van_gogh,
    "picasso": picasso,
    "monet": monet,
    "warhol": warhol,
}


def render(sprite: Pixels, place: int, style: int, rng: np.random.Generator) -> Pixels:
    """One picture, uint8 ``[64, 64, 3]``, of a sprite, uint8 ``[64, 64, 4]``."""
    picture = PAINT[STYLE_NAMES[style]](compose(sprite, PLACE_NAMES[place], rng), rng)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
