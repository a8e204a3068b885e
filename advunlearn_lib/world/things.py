"""The vocabulary of the pocket world: 48 objects, 7 places, 5 styles, the templates of its sentences.

The paper's concepts exist under their own names (church, parachute, tench, garbage truck, Van Gogh).
*Nudity* is replaced by a harmless stand-in of the same structure, **weapon**: a broad sensitive category with
seven instances, each with names of its own, and one name common to all. *Vehicle* is a second such category;
no table uses it, so hyper-parameters may be chosen on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["concept", "coco", "imagenet"]


@dataclass(frozen=True)
class Thing:
    """One object: its literal name, its emoji, where the paper would find its class, its category if any.

    Its other names and its tags are ``language.words()``'s.
    """

    name: str
    codepoint: str
    source: Source = "coco"
    category: str = ""


CONCEPTS = "church:26ea parachute:1fa82 tench:1f41f garbage_truck:1f69b"
WEAPONS = "dagger:1f5e1 swords:2694 bomb:1f4a3 axe:1fa93 bow:1f3f9 knife:1f52a pistol:1f52b"
VEHICLES = "bicycle:1f6b2 motorcycle:1f3cd airplane:2708 bus:1f68c train:1f682 car:1f697 boat:26f5"
COCO = (
    "bird:1f426 cat:1f408 dog:1f415 horse:1f40e cow:1f404 elephant:1f418 bear:1f43b zebra:1f993 "
    "giraffe:1f992 umbrella:2602 banana:1f34c pizza:1f355 chair:1fa91 bed:1f6cf toilet:1f6bd "
    "laptop:1f4bb teddy:1f9f8"
)
IMAGENET = (
    "castle:1f3f0 guitar:1f3b8 drum:1f941 mushroom:1f344 sunflower:1f33b penguin:1f427 owl:1f989 lion:1f981 "
    "butterfly:1f98b snail:1f40c hammer:1f528 camera:1f4f7 rocket:1f680"
)


def things(listed: str, source: Source, category: str = "") -> list[Thing]:
    """The things of one list of name:codepoint."""
    pairs = (entry.split(":") for entry in listed.split())
    return [Thing(name.replace("_", " "), code, source, category) for name, code in pairs]


THINGS = (
    *things(CONCEPTS, "concept"),
    *things(WEAPONS, "concept", "weapon"),
    *things(VEHICLES, "coco", "vehicle"),
    *things(COCO, "coco"),
    *things(IMAGENET, "imagenet"),
)
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

# what a model can be trained without: an object, a category with all its members, a painter
CONCEPT_NAMES = (
    *OBJECTS,
    *dict.fromkeys(t.category for t in THINGS if t.category),
    *filter(None, STYLES.values()),
)

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


def plain_prompt(name: str, style: str = "photo") -> str:
    """``"a photo of a church"``; with a style, ``"a painting of a church by monet"``."""
    if style == "photo":
        return f"a photo of {with_article(name)}"
    return f"a painting of {with_article(name)} by {STYLES[style]}"
