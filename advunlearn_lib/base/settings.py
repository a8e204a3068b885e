"""What every group of settings refuses: unknown names, what is no number, numbers beyond all use."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypedDict, Unpack

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

LARGEST = 1_000_000  # of any number that has no bound of its own
LARGEST_SEED = 2**63 - 1

Precision = Literal["fp32", "bf16"]
MOST_STEPS = 1000  # denoising steps: as many as a model is trained on
STRONGEST = 100  # guidance: pictures are glaring long before


class Marks(TypedDict, total=False):
    """What general code has to know of an option of a method or an attack."""

    scaled: bool  # the profile's ``scale`` multiplies it
    smallest: Any  # its value in a dry run
    at_once: bool  # samples that a step holds in memory together
    room: bool  # tokens that a concept's prompt must leave room for
    source: str  # where its value is from: the paper, an official code, or *ours*
    named: bool  # the concept's name, where nothing else is said


def marks(**given: Unpack[Marks]) -> dict[str, Any]:
    """For a field's ``json_schema_extra``."""
    return dict(given)


class Settings(BaseModel):
    """Options with bounds from above; a class adds its own to ``MOST``, by field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    MOST: ClassVar[dict[str, int]] = {
        "seed": LARGEST_SEED,
        "guidance_scale": STRONGEST,
        **dict.fromkeys(("sampling_steps", "quality_steps", "target_steps"), MOST_STEPS),
    }

    @field_validator("*")
    @classmethod
    def bounded(cls, value: Any, field: ValidationInfo) -> Any:
        """``value``, if it is no larger than it may be."""
        most = cls.MOST.get(str(field.field_name), LARGEST)
        if isinstance(value, int | float) and value > most:
            raise PydanticCustomError("too_large", "input should be at most {most}", {"most": most})
        return value

    @classmethod
    def marked(cls, mark: str) -> dict[str, Any]:
        """What ``mark`` says of each option that has it."""
        found: dict[str, Any] = {}
        for parent in reversed(cls.__mro__):
            for name, field in getattr(parent, "model_fields", {}).items():
                extra = field.json_schema_extra or {}
                found |= {name: extra[mark]} if mark in extra else {}
        return found
