"""The error that is the user's to mend, which the command line prints as one line, and a stop by the user."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class UserError(ValueError):
    """Bad input. The message names what was wrong and what is allowed."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it in a notebook: the message alone."""
        return [f"UserError: {self}"]


class Interrupted(KeyboardInterrupt):
    """Work that was stopped by whoever began it, with all that is finished kept."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it in a notebook."""
        return ["Interrupted; what is finished is kept. Run the cell again to go on."]


def choose(what: str, name: str, allowed: Iterable[str]) -> str:
    """``name`` if it is one of ``allowed``, else a :class:`UserError` that lists them, the nearest first."""
    options = list(allowed)
    if name in options:
        return name
    near = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"unknown {what} {name!r}{hint} (allowed: {', '.join(options)})")


def validated(what: str, model: type[Model], values: dict[str, Any]) -> Model:
    """``model(**values)``; unknown names and values out of range are a :class:`UserError` of one line."""
    for name in values:
        choose(what, name, model.model_fields)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{what} {'.'.join(map(str, first['loc']))}={first['input']!r:.80}: {first['msg'].lower()}"
        ) from None
