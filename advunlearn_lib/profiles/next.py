"""The next pocket profile: the second world's model and language, beside the shipped one.

Its settings are chosen by ``pocket/search.py``; a kind without a log has the first world's.
"""

from __future__ import annotations

from advunlearn_lib.base.paths import DATA
from advunlearn_lib.profiles.pocket import BASES, CONCEPTS, POCKET, PROMPTS

FOLDER = DATA / "next"
SURE = 0.5  # the judge's class "other" takes broken pictures

NEXT = POCKET.model_copy(
    update={
        "name": "next",
        "source": "second",
        "base": str(FOLDER / "v1-4"),
        "bases": {name: str(FOLDER / folder) for name, folder in BASES.items()},
        "judges": str(FOLDER),
        "clip": str(FOLDER / "clip"),
        "attack_clip": str(FOLDER / "clip"),
        "concepts": {
            name: concept.model_copy(
                update={"threshold": SURE, "prompt_count": concept.prompt_count and PROMPTS}
            )
            for name, concept in CONCEPTS.items()
        },
    }
)
