"""What every erasure method shares: its options, the task it is given, and the state of one training run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from accelerate import Accelerator
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from advunlearn_lib.checkpoint import cached
from advunlearn_lib.erasure.parameters import select
from advunlearn_lib.errors import UserError
from advunlearn_lib.model import LatentDiffusion
from advunlearn_lib.store import key_of
from advunlearn_lib.trajectories import Bank, Resampler


class Options(BaseModel):
    """What every method can be told. ``quirks`` name deviations of the official code from the paper, off by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    QUIRKS: ClassVar[dict[str, str]] = {}

    component: str = "unet"
    group: str = "noxattn"
    iterations: int = Field(150, ge=0)
    lr: float = Field(1e-4, gt=0)
    batch: int = Field(8, ge=1, description="samples a step, each with a concept prompt and a noise level of its own")
    quirks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Task:
    """What is to be erased from ``frozen``.

    ``concept``: prompts that name it; ``surrogate``: for each of them the prompt whose picture should come instead, for
    methods that relabel; ``names``: the concept's own words within the prompts; ``retain_set``: prompts to be kept.
    ``cache`` keeps sampling paths and pictures for the next run.
    """

    frozen: LatentDiffusion
    concept: list[str]
    retain_set: list[str] | None = None
    surrogate: list[str] | None = None
    names: list[str] | None = None
    seed: int = 0
    cache: Path | None = None

    def paths(self, prompts: list[str], per_prompt: int, seed: int, steps: int, guidance_scale: float, resample: bool) -> Resampler:
        """The bank of ``prompts``, or with ``resample`` the official way."""
        arguments = (self.frozen, prompts, per_prompt, steps, guidance_scale, seed)
        return Resampler(*arguments) if resample else Bank(*arguments, path=self.file("bank", prompts, *arguments[2:]))

    def pictures(self, prompts: list[str], make: Callable[[], Tensor], *recipe: object) -> Tensor:
        """Latents z_0 [n, c, h, w] made by ``make``, or kept from a run with the same ``recipe``."""
        return cached(self.file("pictures", prompts, *recipe), lambda: {"latents": make()})["latents"]

    def file(self, kind: str, *recipe: object) -> Path | None:
        """Where the cache keeps what ``recipe`` gives."""
        return None if self.cache is None else self.cache / f"{kind}-{key_of({'recipe': recipe})}.safetensors"


class Method:
    """One training run. A method overrides its :meth:`loss` and what else differs; ``erasure.train`` runs the loop."""

    OPTIONS: ClassVar[type[Options]] = Options
    options: Options

    def __init__(self, task: Task, options: Options) -> None:
        self.task, self.frozen, self.options = task, task.frozen, options
        self.model = task.frozen.copy_of(options.component)
        self.trained = self.choose_parameters()
        for parameter in self.trained.values():
            parameter.requires_grad_(True)
        self.ids = task.frozen.tokenize(task.concept)
        self.state: dict[str, Tensor] = {}
        self.accelerator: Accelerator | None = None  # set by ``train``: fp16's loss scaling

    def choose_parameters(self) -> dict[str, torch.nn.Parameter]:
        """The trained parameters, by name."""
        return select(getattr(self.model, self.options.component), self.options.component, self.options.group)

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam, unless the method's paper says otherwise."""
        return torch.optim.Adam(self.trained.values(), lr=self.options.lr)

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """The loss of one iteration; all randomness comes from ``generator``."""
        raise NotImplementedError

    def backward(self, iteration: int, generator: torch.Generator) -> float:
        """Leave the iteration's gradient in the trained parameters and return the loss."""
        loss = self.loss(iteration, generator)
        (loss * self.loss_scale()).backward()
        return loss.item()

    def loss_scale(self) -> float:
        """What gradients are multiplied by so that fp16 holds them; the optimiser divides by it again. 1 in bf16 and fp32."""
        scaler = None if self.accelerator is None else self.accelerator.scaler
        return 1.0 if scaler is None else float(scaler.get_scale())

    def finish(self) -> None:
        """Called once after the last iteration."""

    def gradients(self, loss: Tensor) -> list[Tensor]:
        """The gradient of ``loss`` for each trained parameter, zeros where it has none; nothing is left in ``.grad``."""
        scale, trained = self.loss_scale(), list(self.trained.values())
        found = torch.autograd.grad(loss * scale, trained, allow_unused=True, materialize_grads=True)
        return [gradient.div_(scale) for gradient in found]

    def leave(self, gradients: list[Tensor]) -> None:
        """Put ``gradients``, which are used up, where the optimiser looks for them."""
        for parameter, gradient in zip(self.trained.values(), gradients, strict=True):
            parameter.grad = gradient.mul_(self.loss_scale())

    def needs(self, name: str) -> list[str]:
        """The task's list ``name``; :class:`UserError` where it is missing."""
        value = getattr(self.task, name)
        if not value:
            raise UserError(f"{type(self).__name__} needs a {name.replace('_', ' ')}; none was given")
        return list(value)
