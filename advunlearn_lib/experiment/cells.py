"""What the paper's tables are made of: a model is a row, a number of it is a cell."""

from __future__ import annotations

from typing import NamedTuple

from advunlearn_lib.erasure.method import Method
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.profiles.schema import component_name

BASE = "SD v1.4"
METRICS = ("asr", "pre_asr", "fid", "clip", "seconds_per_iteration")


class Row(NamedTuple):
    """A model, as the paper's tables name it. An empty ``component`` is the method's usual one."""

    concept: str
    method: str
    component: str = ""
    variant: str = ""

    def trained_component(self) -> str:
        """What the method trains: "UNet" or "Text Encoder"."""
        return self.component or usual_component(self.method)


def usual_component(label: str) -> str:
    """What the method of this name in the tables trains, where nothing else is said."""
    methods = {method.LABEL: method for method in METHODS.values()}
    return component_name(methods.get(label, Method).OPTIONS.model_fields["component"].default)


class Cell(NamedTuple):
    """A number of one model. ``metric`` is one of ``METRICS``."""

    row: Row
    attack: str
    metric: str
