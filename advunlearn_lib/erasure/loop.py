"""The one loop of all trained erasure methods: optimiser, progress, checkpoint, resume."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from advunlearn_lib.base import checkpoint
from advunlearn_lib.base.errors import UserError, choose, validated
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.quirks import check_quirks
from advunlearn_lib.base.seeds import derived_seed, generator
from advunlearn_lib.diffusion.microbatch import in_smaller_batches
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.token_edit import check_room
from advunlearn_lib.diffusion.weights import save_part
from advunlearn_lib.erasure.method import Method, Options, Part
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


@dataclass
class Trained:
    """A trained model: ``model`` to generate with; ``save_weights`` writes the trained part alone.

    ``losses`` and ``seconds``: one an iteration; ``numbers``: what else the method logs, by name.
    """

    model: LatentDiffusion
    component: str
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    numbers: dict[str, list[float]] = field(default_factory=dict)

    def save_weights(self, folder: str | Path) -> None:
        """Write a folder that ``CLIPTextModel.from_pretrained`` (or ``UNet2DConditionModel``) loads."""
        save_part(getattr(self.model, self.component), folder)


def check_options(method: str, options: dict[str, Any]) -> Options:
    """The method's options, filled with its defaults.

    Raises :class:`UserError` for an unknown method, name or value.
    """
    cls = METHODS[choose("method", method, METHODS)]
    filled = validated("option", cls.OPTIONS, options)
    choose("component", filled.component, LatentDiffusion.PARTS)
    check_quirks(filled.quirks, filled.QUIRKS)
    return filled


def check_task(method: str, task: Task, options: Options) -> None:
    """Raise :class:`UserError` where the method lacks something, or a prompt has no tokens or too many."""
    cls = METHODS[method]
    if not task.concept:
        raise UserError("no concept prompt given; at least one is needed")
    called = {one.name: one.metadata.get("called", one.name) for one in fields(task)}
    for name in cls.needs(options):
        if not getattr(task if name in called else options, name):
            raise UserError(f"{cls.__name__} needs {called.get(name, name)}; none was given")
    if "surrogate" in cls.needs(options) and len(task.surrogate) != len(task.forget_prompts):
        counts = f"{len(task.forget_prompts)} forget prompts but {len(task.surrogate)} surrogates"
        raise UserError(f"{counts}; one for each is needed")
    check_room(task.frozen, task.concept, options.room())


def prepare(method: str, task: Task, options: Options | dict[str, Any]) -> Method:
    """A method ready for :func:`train`.

    Raises :class:`UserError` for bad prompts or options, before anything is made.
    """
    filled = options if isinstance(options, Options) else check_options(method, options)
    check_task(method, task, filled)
    return in_smaller_batches(lambda: METHODS[method](task, filled), task.frozen, filled.samples())


def train(method: Method, seed: int = 0, path: Path | None = None, save_every: float = 20.0) -> Trained:
    """Run ``method`` to the end. With ``path``, a checkpoint is kept there and a stopped run goes on from it.

    Iteration i draws from a generator seeded by (seed, i), so a resumed run equals an
    uninterrupted one. Where memory runs out, the iteration is done again in micro-batches
    (``microbatch.py``). ``save_every``: seconds between checkpoints; the name of their folder
    says whose they are. Raises :class:`UserError` where even one sample at a time does not fit,
    or where a loss is not finite.
    """
    run = Run(method, method.optimizer(), seed, path, save_every)
    in_smaller_batches(run.go_on, method.model, method.options.samples())
    for parameter in method.trained.values():
        parameter.requires_grad_(False)
    method.finish()
    return Trained(method.model, method.options.component, run.losses, run.seconds, run.numbers)


class Run:
    """The loop, which can be entered again where it stopped."""

    def __init__(
        self, method: Method, optimizer: Any, seed: int, path: Path | None, save_every: float
    ) -> None:
        self.method, self.optimizer, self.seed = method, optimizer, seed
        self.path, self.save_every = path, save_every
        parameters = {name.replace(".", "/"): p for name, p in method.trained.items()}
        self.module = torch.nn.ParameterDict(parameters)
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.numbers: dict[str, list[float]] = {}
        self.now: list[float] = []  # losses of the steps that the iteration under way has done
        modules = {"trained": self.module}
        if path is not None and (meta := checkpoint.load(path, path.parent.name, modules, optimizer)):
            self.losses, self.seconds, self.numbers = meta["losses"], meta["seconds"], meta["numbers"]
            method.state = {name: torch.tensor(value) for name, value in meta["state"].items()}

    def go_on(self) -> None:
        """All iterations that are left."""
        done, total = len(self.losses), self.method.options.iterations
        saved, pause = time.monotonic(), self.save_every
        bar = tqdm(range(done, total), initial=done, total=total, desc="erase", leave=False)
        for iteration in bar:
            began = time.monotonic()
            loss = self.step(iteration)
            self.losses.append(loss)
            self.seconds.append(time.monotonic() - began)
            for name, number in self.method.numbers.items():
                self.numbers.setdefault(name, []).append(number)
            bar.set_postfix(loss=f"{loss:.4f}")
            if self.path is not None and time.monotonic() - saved > pause:
                began = time.monotonic()
                self.save(self.path)
                saved = time.monotonic()
                pause = self.save_every * max(1.0, (saved - began) / 2)  # a UNet's takes long: 10 GB

    def step(self, iteration: int) -> float:
        """One iteration, a step for each of the method's parts; the sum of their losses."""
        parts = self.method.parts()
        for number in range(len(self.now), len(parts)):  # memory may run out between two steps
            rng = generator(derived_seed(number, derived_seed(self.seed, iteration)))
            self.now.append(self.descend(iteration, parts[number], rng))
        loss, self.now = sum(self.now), []
        return loss

    def descend(self, iteration: int, part: Part, rng: torch.Generator) -> float:
        """One step of the optimiser; its loss."""
        method = self.method
        self.optimizer.zero_grad()
        loss = part(iteration, rng)
        if not math.isfinite(loss):
            remedy = f"lower lr (now {method.options.lr:g}) or train in precision fp32"
            raise UserError(f"the loss is {loss} in iteration {iteration + 1}: {remedy}")
        if method.MAX_GRADIENT_NORM is not None:
            torch.nn.utils.clip_grad_norm_(method.trained.values(), method.MAX_GRADIENT_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = method.options.lr * method.rate_factor(iteration)
        self.optimizer.step()
        return loss

    def save(self, path: Path) -> None:
        """The checkpoint."""
        state = {name: value.tolist() for name, value in self.method.state.items()}
        lists = {"losses": self.losses, "seconds": self.seconds, "numbers": self.numbers}
        meta: dict[str, Any] = {"step": len(self.losses), "state": state, **lists}
        checkpoint.save(path, path.parent.name, {"trained": self.module}, self.optimizer, **meta)
