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

    ``concept``: prompts that name it; ``names``: its own words within them; ``retain_set``: prompts to be
    kept. Methods that train on pictures draw those of ``forget_prompts`` (default: the concept's) and of
    ``remain_prompts`` (default: the retain set); ``surrogate``: for each forget prompt what should come
    instead, for methods that relabel. ``cache`` keeps sampling paths and pictures for the next run; without
    one ``made`` keeps them, so that an attempt that ran out of memory need not make them again.
    """

    frozen: LatentDiffusion
    concept: list[str]
    retain_set: list[str] = field(default_factory=list, metadata={"called": "a retain set"})
    surrogate: list[str] = field(default_factory=list, metadata={"called": "a surrogate"})
    names: list[str] = field(default_factory=list)
    forget_prompts: list[str] = field(default_factory=list)
    remain_prompts: list[str] = field(default_factory=list, metadata={"called": "a retain set"})
    seed: int = 0
    cache: Cache | None = None
    made: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Fill the defaults."""
        object.__setattr__(self, "forget_prompts", self.forget_prompts or self.concept)
        object.__setattr__(self, "remain_prompts", self.remain_prompts or self.retain_set)

    def tensors(self, kind: str, recipe: Recipe, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What ``make`` gives, or what it gave to a run with the same ``recipe`` in the same precision."""
        if self.cache is not None:
            return self.cache.tensors(kind, recipe | {"precision": str(self.frozen.dtype)}, make)
        key = key_of(recipe | {"kind": kind})
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]
