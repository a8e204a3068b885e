"""The next pocket profile: the second world's model and language, beside the shipped one.

Methods' settings are still the first world's; ``pocket/search.py`` chooses its own. The judges' threshold is
the same: 95 % of the model's pictures of the validation concepts have 0.97 and more.
"""

from __future__ import annotations

from advunlearn_lib.base.paths import DATA
from advunlearn_lib.profiles.pocket import BASES, CONCEPTS, POCKET, PROMPTS

FOLDER = DATA / "next"

NEXT = POCKET.model_copy(
    update={
        "name": "next",
        "source": "second",
        "base": str(FOLDER / "v1-4"),
        "bases": {name: str(FOLDER / folder) for name, folder in BASES.items()},
        "judges": str(FOLDER),
        "clip": str(FOLDER / "clip"),
        "attack_clip": str(FOLDER / "clip"),
        "concepts": {  # the second language has words enough for every object's 100 prompts
            name: concept.model_copy(update={"prompt_count": concept.prompt_count and PROMPTS})
            for name, concept in CONCEPTS.items()
        },
    }
)
