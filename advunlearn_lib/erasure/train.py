"""The one loop of all trained erasure methods: Adam, progress, checkpoint, resume."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from advunlearn_lib import checkpoint
from advunlearn_lib.erasure.ac import AC
from advunlearn_lib.erasure.advunlearn import AdvUnlearn
from advunlearn_lib.erasure.base import Method, Task
from advunlearn_lib.erasure.erasediff import EraseDiff
from advunlearn_lib.erasure.esd import ESD
from advunlearn_lib.erasure.fmn import FMN
from advunlearn_lib.erasure.salun import SalUn
from advunlearn_lib.erasure.scissorhands import ScissorHands
from advunlearn_lib.erasure.spm import SPM
from advunlearn_lib.erasure.uce import UCE
from advunlearn_lib.errors import UserError, choose, validated
from advunlearn_lib.model import LatentDiffusion
from advunlearn_lib.progress import tqdm
from advunlearn_lib.prompts import check_room
from advunlearn_lib.weights import save_part

METHODS: dict[str, type[Method]] = {
    "esd": ESD,
    "advunlearn": AdvUnlearn,
    "fmn": FMN,
    "uce": UCE,
    "ac": AC,
    "spm": SPM,
    "salun": SalUn,
    "erasediff": EraseDiff,
    "scissorhands": ScissorHands,
}


@dataclass
class Erased:
    """An erased model: ``model`` to generate with; ``save_pretrained`` writes the trained part alone."""

    model: LatentDiffusion
    component: str
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that ``CLIPTextModel.from_pretrained`` (or ``UNet2DConditionModel``) loads."""
        save_part(getattr(self.model, self.component), folder)


def prepare(method: str, task: Task, options: dict[str, Any]) -> Method:
    """A method ready for :func:`train`. Raises :class:`UserError` for bad prompts or options."""
    chosen = METHODS[choose("method", method, METHODS)]
    filled = validated("option", chosen.OPTIONS, options)
    for quirk in sorted(filled.quirks):
        choose("quirk", quirk, filled.QUIRKS)
    if not task.concept:
        raise UserError("no concept prompt given; at least one is needed")
    check_room(task.frozen, task.concept, 0)
    return chosen(task, filled)


def train(method: Method, seed: int = 0, path: Path | None = None, save_every: float = 20.0) -> Erased:
    """Run ``method`` to the end. With ``path``, a checkpoint is kept there and a stopped run goes on from it.

    Iteration i draws from a generator seeded by (seed, i), so a resumed run equals an uninterrupted one.
    """
    options = method.options
    module = torch.nn.ParameterDict({name.replace(".", "/"): p for name, p in method.trained.items()})
    optimizer = method.optimizer()
    losses: list[float] = []
    seconds: list[float] = []
    start = 0
    if path is not None and path.exists():
        meta: dict[str, Any] = checkpoint.load(path, {"trained": module}, optimizer)
        start, losses, seconds = meta["step"], meta["losses"], meta["seconds"]
        method.state = {name: torch.tensor(value) for name, value in meta["state"].items()}
    saved = time.monotonic()
    bar = tqdm(range(start, options.iterations), initial=start, total=options.iterations, desc="erase", leave=False)
    for iteration in bar:
        began = time.monotonic()
        optimizer.zero_grad()
        losses.append(method.backward(iteration, torch.Generator().manual_seed(seed * 1_000_003 + iteration)))
        optimizer.step()
        seconds.append(time.monotonic() - began)
        bar.set_postfix(loss=f"{losses[-1]:.4f}")
        if path is not None and time.monotonic() - saved > save_every:
            state = {name: value.tolist() for name, value in method.state.items()}
            checkpoint.save(path, {"trained": module}, optimizer, step=iteration + 1, losses=losses, seconds=seconds, state=state)
            saved = time.monotonic()
    for parameter in method.trained.values():
        parameter.requires_grad_(False)
    method.finish()
    return Erased(method.model, options.component, losses, seconds)


def erase(
    frozen: LatentDiffusion,
    concept: str | list[str],
    method: str = "advunlearn",
    retain_set: list[str] | None = None,
    surrogate: str | None = None,
    seed: int = 0,
    **options: Any,
) -> Erased:
    """Erase ``concept`` from ``frozen`` (left untouched) and return the erased model.

    ``surrogate`` is the prompt whose picture should come instead, for the methods that relabel. ``options`` are those of
    the method's ``OPTIONS``; AdvUnlearn without a retain set needs ``retain_weight=0``. Raises :class:`UserError` for an
    unknown method, option or value, a prompt without tokens, or a list that the method needs and was not given.
    """
    prompts = [concept] if isinstance(concept, str) else concept
    task = Task(frozen, prompts, retain_set, None if surrogate is None else [surrogate] * len(prompts), seed=seed)
    return train(prepare(method, task, options), seed)
