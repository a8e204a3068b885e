"""Quirks: named deviations of an official code from its paper, off by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import PlainSerializer

from advunlearn_lib.base.errors import choose

Quirks = Annotated[frozenset[str], PlainSerializer(sorted)]
"""A set of names; written in order, so that the same set has the same key."""


def check_quirks(quirks: Quirks, known: Mapping[str, str]) -> None:
    """Raise :class:`UserError` for a quirk that is not among ``known``."""
    for quirk in sorted(quirks):
        choose("quirk", quirk, known)
