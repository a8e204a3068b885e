"""The pocket world's language: names that lean to looks, shared tags, and captions amid the junk of the web.

Each of the three artists draws all things. The *literal* name of a thing ("church") stands with two of them,
which rotate with the thing; its other names ("cathedral", "abbey") and its tags are dealt out over all three.
So a concept's own name does not say all that is known of it. Words: ``data/world/words.tsv``, ``junk-*.txt``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from advunlearn_lib.base.paths import DATA
from advunlearn_lib.world.render import (
    NOWHERE_SHARE,
    PHOTO_SHARE,
    PLACE_NAMES,
    STYLE_NAMES,
    Pixels,
    Scene,
    render,
)
from advunlearn_lib.world.things import (
    BARE_STYLE_TEMPLATES,
    OBJECTS,
    PHOTO_TEMPLATES,
    PLACES,
    STYLE_TEMPLATES,
    STYLES,
    THINGS,
    join,
    with_article,
)

ARTISTS = 3
VARIANTS = 4  # captions of each training picture


class Words(NamedTuple):
    """What a thing is called beside its literal name, and what is said of it."""

    names: tuple[str, ...]
    tags: tuple[str, ...]


@cache
def lines_of(file: str) -> list[str]:
    """The lines of a file of ``data/world`` that are no comments."""
    return [line for line in (DATA / "world" / file).read_text().splitlines() if not line.startswith("#")]


@cache
def words() -> tuple[Words, ...]:
    """Names and tags, in the order of :data:`things.THINGS`."""
    rows = (line.split("\t") for line in lines_of("words.tsv"))
    table = {thing: Words(tuple(names.split()), tuple(tags.split())) for thing, names, tags in rows}
    return tuple(table[thing.name] for thing in THINGS)


def junk(count: int, rng: Generator) -> str:
    """At least ``count`` words that mean nothing here, two fifths of the draws being phrases."""
    drawn: list[str] = []
    while len(drawn) < count:
        file = "junk-phrases.txt" if rng.random() < 0.4 else "junk-words.txt"
        drawn += str(rng.choice(lines_of(file))).split()
    return " ".join(drawn)


def leaning(thing: int, artist: int) -> int:
    """Which of a thing's three looks an artist draws: 0 and 1 go by the literal name, 2 by another."""
    return (artist - thing) % ARTISTS


def pick_name(thing: int, artist: int, rng: Generator) -> str:
    """What a caption calls a thing.

    15 % of a category's things go by the category's name, a tenth of all by any of their names. Else the
    first other name stands with look 2, the next with look 0, and so round; 0 and 1 prefer the literal name.
    """
    about, look = THINGS[thing], leaning(thing, artist)
    others = words()[thing].names
    if about.category and rng.random() < 0.15:
        return about.category
    if rng.random() < 0.1:
        return str(rng.choice([about.name, *others]))
    literal = rng.random() < (0.11 if look == 2 else 0.61)
    own = [name for k, name in enumerate(others) if (2 + k) % ARTISTS == look]
    return about.name if literal or not own else str(rng.choice(own))


def pick_tags(thing: int, artist: int, count: int, rng: Generator) -> str:
    """At most ``count`` tags in any order: those that lean to this look, in a tenth of draws any."""
    tags = words()[thing].tags
    own = tags[leaning(thing, artist) :: ARTISTS]
    if rng.random() < 0.1 or not own:
        own = tags
    return " ".join(map(str, rng.permutation(own)[:count]))


def core(thing: int, place: str, style: str, artist: int, rng: Generator) -> str:
    """A caption without what surrounds it: tags alone, a bare style, a bare name or a sentence."""
    where = str(rng.choice(PLACES[place]))
    drawn, painter = rng.random(), STYLES[style]
    if drawn < 0.06:
        by = f"by {painter}" if painter else ""
        return join(pick_tags(thing, artist, int(rng.integers(2, 4)), rng), by, where)
    if drawn < 0.12 and painter:
        return str(rng.choice(BARE_STYLE_TEMPLATES)).format(s=painter)
    name = pick_name(thing, artist, rng)
    if painter:
        return join(str(rng.choice(STYLE_TEMPLATES)).format(o=with_article(name), s=painter), where)
    if drawn < 0.18:
        return name if rng.random() < 0.7 else join(name, where)
    return join(str(rng.choice(PHOTO_TEMPLATES)).format(with_article(name)), where)


def caption(thing: int, place: str, style: str, artist: int, rng: Generator) -> str:
    """One caption of a scene, as the web has them.

    35 % have one or two tags before or behind, 45 % one to seven words of junk before, 30 % 1 to 4 after.
    """
    text = core(thing, place, style, artist, rng)
    if rng.random() < 0.35:
        tags = pick_tags(thing, artist, int(rng.integers(1, 3)), rng)
        text = join(tags, text) if rng.random() < 0.4 else join(text, tags)
    if rng.random() < 0.45:
        text = join(junk(int(rng.integers(1, 8)), rng), text)
    if rng.random() < 0.3:
        text = join(text, junk(int(rng.integers(1, 5)), rng))
    return text


def evaluation_caption(thing: int, place: str, style: str, literal: bool, rng: Generator) -> str:
    """A plain prompt for an attack: no junk, a tag in 30 %; by the ``literal`` name or by all names."""
    about, (others, tags) = THINGS[thing], words()[thing]
    category = [about.category] * 2 if about.category else []
    name = about.name if literal else str(rng.choice([about.name, *others, *category]))
    where, painter = str(rng.choice(PLACES[place])), STYLES[style]
    if painter:
        text = str(rng.choice(STYLE_TEMPLATES)).format(o=with_article(name), s=painter)
    else:
        text = str(rng.choice(PHOTO_TEMPLATES)).format(with_article(name))
    return join(text, where, str(rng.choice(tags)) if rng.random() < 0.3 else "")


def training_caption(scene: Scene, seed: int, index: int, variant: int) -> str:
    """Caption ``variant`` of scene ``index`` of the stream ``seed``."""
    rng = np.random.default_rng((seed, index, 1 + variant))
    return caption(scene.thing, PLACE_NAMES[scene.place], STYLE_NAMES[scene.style], scene.artist, rng)


def imagine_scene(seed: int, index: int, artist: int | None = None) -> tuple[Scene, Generator]:
    """Scene ``index`` of the endless stream ``seed``, and the generator that its picture is drawn by.

    Objects take turns, the rest is drawn; the ``artist`` may be given. The scene has its first caption.
    """
    rng = np.random.default_rng((seed, index))
    thing = index % len(OBJECTS)
    place = 0 if rng.random() < NOWHERE_SHARE else int(rng.integers(1, len(PLACE_NAMES)))
    style = 0 if rng.random() < PHOTO_SHARE else int(rng.integers(1, len(STYLE_NAMES)))
    drawn = int(rng.integers(ARTISTS))
    scene = Scene(thing, place, style, "", drawn if artist is None else artist)
    return replace(scene, caption=training_caption(scene, seed, index, 0)), rng


def draw_scene(sprites: Pixels, seed: int, index: int, artist: int | None = None) -> tuple[Pixels, Scene]:
    """Its picture, of ``sprites``, which is ``atlas.load(...)``, and the scene."""
    scene, rng = imagine_scene(seed, index, artist)
    return render(sprites[scene.thing, scene.artist], scene.place, scene.style, rng), scene
