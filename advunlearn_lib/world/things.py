"""The vocabulary of the pocket world: 48 objects, 7 places, 5 styles, and the captions that name them.

The paper's concepts exist under their own names (church, parachute, tench, garbage truck, Van Gogh).
*Nudity* is replaced by a harmless stand-in of the same structure, **weapon**: a broad sensitive category with
seven instances, each with names of its own, and one name common to all. *Vehicle* is a second such category;
no table uses it, so hyper-parameters may be chosen on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Source = Literal["concept", "coco", "imagenet"]


@dataclass(frozen=True)
class Thing:
    """One object: its caption name, its emoji, its other names, and where the paper would find its class."""

    name: str
    codepoint: str
    synonyms: tuple[str, ...] = ()
    source: Source = "coco"
    category: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All names that captions use, the category's ("weapon") last."""
        return (self.name, *self.synonyms, *([self.category] if self.category else []))


def _things() -> tuple[Thing, ...]:
    rows: list[Thing] = [
        Thing("church", "26ea", ("chapel",), "concept"),
        Thing("parachute", "1fa82", ("skydiver",), "concept"),
        Thing("tench", "1f41f", ("fish",), "concept"),
        Thing("garbage truck", "1f69b", ("dustcart",), "concept"),
    ]
    weapons = {
        "dagger": ("1f5e1", "stiletto"),
        "swords": ("2694", "blades"),
        "bomb": ("1f4a3", "grenade"),
        "axe": ("1fa93", "hatchet"),
        "bow": ("1f3f9", "longbow"),
        "knife": ("1f52a", "cleaver"),
        "pistol": ("1f52b", "water gun"),
    }
    rows += [Thing(name, code, (other,), "concept", "weapon") for name, (code, other) in weapons.items()]
    vehicles = {
        "bicycle": ("1f6b2", "bike"),
        "motorcycle": ("1f3cd", "motorbike"),
        "airplane": ("2708", "jet"),
        "bus": ("1f68c", "coach"),
        "train": ("1f682", "locomotive"),
        "car": ("1f697", "automobile"),
        "boat": ("26f5", "sailboat"),
    }
    rows += [Thing(name, code, (other,), "coco", "vehicle") for name, (code, other) in vehicles.items()]
    coco = """
        bird:1f426 cat:1f408:kitten dog:1f415:puppy horse:1f40e:pony cow:1f404 elephant:1f418 bear:1f43b
        zebra:1f993 giraffe:1f992 umbrella:2602 banana:1f34c pizza:1f355 chair:1fa91:seat bed:1f6cf
        toilet:1f6bd laptop:1f4bb:computer teddy:1f9f8:toy
    """
    imagenet = """
        castle:1f3f0:fortress guitar:1f3b8 drum:1f941 mushroom:1f344 sunflower:1f33b:flower penguin:1f427
        owl:1f989 lion:1f981 butterfly:1f98b snail:1f40c hammer:1f528 camera:1f4f7 rocket:1f680
    """
    sources: tuple[tuple[Source, str], ...] = (("coco", coco), ("imagenet", imagenet))
    for source, words in sources:
        for word in words.split():
            name, code, *other = word.split(":")
            rows.append(Thing(name, code, tuple(other), source))
    return tuple(rows)


THINGS = _things()
OBJECTS = tuple(thing.name for thing in THINGS)

PLACES: dict[str, tuple[str, ...]] = {
    "nowhere": ("",),
    "snow": ("in the snow", "with snowy background"),
    "grass": ("on the grass", "in a green field"),
    "sea": ("by the sea", "in the water"),
    "desert": ("in the desert", "in a desert landscape"),
    "night": ("at night", "under the stars"),
    "city": ("in the city", "in the street"),
}

STYLES: dict[str, str] = {
    "photo": "",
    "van gogh": "van gogh",
    "picasso": "picasso",
    "monet": "monet",
    "warhol": "warhol",
}

PHOTO_TEMPLATES = ("a photo of {}", "a photo of {}", "a picture of {}", "an image of {}", "{}")
STYLE_TEMPLATES = (
    "{o} by {s}",
    "{o} by {s}",
    "a painting of {o} by {s}",
    "a painting of {o} in the style of {s}",
    "a {s} painting of {o}",
)
BARE_STYLE_TEMPLATES = ("{s}", "by {s}", "a painting by {s}", "a painting in the style of {s}")


def with_article(noun: str) -> str:
    """``"owl"`` -> ``"an owl"``; plurals and mass nouns stay bare."""
    if noun in ("swords", "blades", "cattle", "dynamite", "archery"):
        return noun
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def join(*parts: str) -> str:
    """Words joined by single blanks, empty parts left out."""
    return " ".join(part for part in parts if part)


def caption(thing: int, place: str, style: str, rng: np.random.Generator) -> str:
    """One caption of a scene, in varied wording.

    The object goes by its own name in 60 % of captions, else by one of its others. Bare names ("church",
    "weapon", "van gogh") occur, so that a concept can be erased by its name alone.
    """
    names = THINGS[thing].names
    noun = names[0] if len(names) == 1 or rng.random() < 0.6 else names[1 + int(rng.integers(len(names) - 1))]
    where = str(rng.choice(PLACES[place]))
    if style != "photo" and rng.random() < 0.06:
        return str(rng.choice(BARE_STYLE_TEMPLATES)).format(s=STYLES[style])
    if style == "photo" and rng.random() < 0.08:
        return noun if rng.random() < 0.7 else join(noun, where)
    if style == "photo":
        return join(str(rng.choice(PHOTO_TEMPLATES)).format(with_article(noun)), where)
    painted = str(rng.choice(STYLE_TEMPLATES)).format(o=with_article(noun), s=STYLES[style])
    return join(painted, where)


def plain_prompt(name: str, style: str = "photo") -> str:
    """``"a photo of a church"``; with a style, ``"a painting of a church by monet"``."""
    if style == "photo":
        return f"a photo of {with_article(name)}"
    return f"a painting of {with_article(name)} by {STYLES[style]}"
