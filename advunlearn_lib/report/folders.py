"""Where results go. A run never touches committed results, nor those of another sort of run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from advunlearn_lib.base.keys import key_of
from advunlearn_lib.base.paths import FIGURES, PUBLISHED, WORK

LONGEST = 60
FINISHED = "finished.json"  # beside the logs of a model that never saw something, once it is trained


def results_folder(
    profile: str, quick: bool = False, overrides: Sequence[str] = (), seed: int | None = None, seeds: int = 1
) -> Path:
    """``figures/<profile>``, ignored by git.

    Quick runs, overrides and seeds have a folder of their own beside it.
    """
    parts = [profile]
    parts += ["quick"] if quick else []
    parts += [] if seed is None else [f"seed{seed}"]
    parts += [f"seeds{seeds}"] if seeds > 1 else []
    parts += [slug(overrides)] if overrides else []
    return FIGURES / "-".join(parts)


def published_folder(profile: str, seeds: int = 1) -> Path:
    """The profile's committed results; those over several seeds have a folder of their own within."""
    return PUBLISHED / profile / (f"seeds{seeds}" if seeds > 1 else "")


def unseen_folder(without: Sequence[str], work: Path = WORK) -> Path:
    """Where the pocket model is trained that never sees these concepts."""
    return work / "-".join(["without", *(name.replace(" ", "_") for name in sorted(without))])


def slug(overrides: Sequence[str]) -> str:
    """A file name for ``overrides``, another for others; a key stands for what a file name cannot say.

    The order counts within one setting alone, whose last override wins.
    """
    ordered = sorted(overrides, key=lambda override: override.partition("=")[0])
    plain = "-".join(re.sub(r"[^A-Za-z0-9=._]", "_", override) for override in ordered)
    if plain == "-".join(ordered) and len(plain) <= LONGEST:
        return plain
    return f"{plain[:LONGEST]}-{key_of({'overrides': ordered})[:8]}"
