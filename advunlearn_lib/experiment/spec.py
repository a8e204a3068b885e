"""What every specification shares: it is whole, validated once, and its dump is what a key hashes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, PlainSerializer, SerializerFunctionWrapHandler, WrapSerializer
from pydantic_core import PydanticSerializationError

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.keys import Recipe, fingerprint, key_of
from advunlearn_lib.diffusion.sampling import Sampling

VERSIONS = {"erase": 4, "prompts": 4, "attack": 4, "quality": 4, "panel": 4}
"""Of each kind of cell; raised when the same recipe comes to mean another result."""

Where = Annotated[str, PlainSerializer(lambda where: fingerprint(where) if where else "")]
"""A folder or hub id, or nothing; in a recipe the key of what it holds, so that paths are no part of it."""


USUAL = ("precision", "fp32"), ("compiled", False)


def without_usual(sampling: Sampling, dump: SerializerFunctionWrapHandler) -> Recipe:
    """How pictures are made, as JSON; without ``USUAL``, so that keys are those of before it was a choice."""
    return {name: value for name, value in dump(sampling).items() if (name, value) not in USUAL}


PictureSampling = Annotated[Sampling, WrapSerializer(without_usual)]


class Frozen(BaseModel):
    """A part of a specification."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def dump(self) -> Recipe:
        """All of it as JSON. Raises :class:`UserError` where the key of a model or a judge cannot be had."""
        try:
            return self.model_dump(mode="json")
        except PydanticSerializationError as error:
            raise error.__cause__ if isinstance(error.__cause__, UserError) else error from None


class Spec(Frozen):
    """Everything that shapes a result of one ``KIND``, and nothing else (no batch size, no device)."""

    KIND: ClassVar[str]

    @property
    def recipe(self) -> Recipe:
        """What the store hashes."""
        return {"version": VERSIONS[self.KIND], **self.dump()}

    @property
    def key(self) -> str:
        """The recipe's hash."""
        return key_of(self.recipe)
