"""What is to be erased from which model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from advunlearn_lib.base.keys import Recipe, key_of
from advunlearn_lib.base.store import Cache
from advunlearn_lib.diffusion.model import LatentDiffusion


@dataclass(frozen=True)
class Task:
    """What is to be erased from ``frozen``.

    ``concept``: prompts that name it; ``surrogate``: for each of them the prompt whose picture should come
    instead, for methods that relabel; ``names``: the concept's own words within the prompts; ``retain_set``:
    prompts to be kept. ``cache`` keeps sampling paths and pictures for the next run; without one ``made``
    keeps them, so that an attempt that ran out of memory need not make them again.
    """

    frozen: LatentDiffusion
    concept: list[str]
    retain_set: list[str] = field(default_factory=list)
    surrogate: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    seed: int = 0
    cache: Cache | None = None
    made: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def tensors(self, kind: str, recipe: Recipe, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What ``make`` gives, or what it gave to a run with the same ``recipe`` in the same precision."""
        if self.cache is not None:
            return self.cache.tensors(kind, recipe | {"precision": str(self.frozen.dtype)}, make)
        key = key_of(recipe | {"kind": kind})
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]
