"""How work is followed: a widget in a notebook a person has open, a bar on a terminal, else lines.

``reproduce.sh`` says to the kernels it starts which, unless it was told itself, in ADVUNLEARN_PROGRESS:
"bar", or "lines" where nobody watches. Then a finished cell is one line and there are no bars.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib.util import find_spec
from typing import Any

from tqdm.std import tqdm as plain


class Silent(plain):
    """No bar at all."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **(settings | {"disable": True}))


STYLE = os.environ.get("ADVUNLEARN_PROGRESS", "")
if STYLE:  # a kernel of ours, which would say of its own tasks that they were pending when it was ended
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def bar_here() -> type[Any]:
    """The bar that suits."""
    if STYLE == "lines":
        return Silent
    if STYLE or find_spec("ipywidgets") is None:  # a widget without ipywidgets is a warning
        return plain
    from tqdm.auto import tqdm as widget

    return widget


tqdm = bar_here()
__all__ = ["say", "style_here", "tqdm"]


def style_here() -> str:
    """What suits this process's stderr: a terminal shows a bar."""
    return "bar" if sys.stderr.isatty() else "lines"


def say(line: str) -> None:
    """One line of what is done, where lines are asked for."""
    if STYLE == "lines":
        print(line, file=sys.stderr, flush=True)
