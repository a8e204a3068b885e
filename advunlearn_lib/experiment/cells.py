"""What the paper's tables are made of: a model is a row, a number of it is a cell."""

from __future__ import annotations

from typing import NamedTuple

BASE = "SD v1.4"
METRICS = ("asr", "pre_asr", "fid", "clip", "seconds_per_iteration")
MODEL = "model"  # the metric of a cell that asks for the model itself
USUAL_COMPONENT = {"AdvUnlearn": "Text Encoder"}  # of rows that name none; any other method's is the UNet


class Row(NamedTuple):
    """A model, as the paper's tables name it. An empty ``component`` is the method's usual one."""

    concept: str
    method: str
    component: str = ""
    variant: str = ""

    def trained_component(self) -> str:
        """What the method trains: "UNet" or "Text Encoder"."""
        return self.component or USUAL_COMPONENT.get(self.method, "UNet")


class Cell(NamedTuple):
    """A number of one model. ``metric`` is one of ``METRICS``, or ``MODEL``."""

    row: Row
    attack: str
    metric: str
