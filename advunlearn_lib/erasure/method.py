"""What every erasure method shares: its options and the state of one training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.quirks import Quirks
from advunlearn_lib.base.settings import MOST_STEPS, Settings, marks
from advunlearn_lib.erasure.parameters import select
from advunlearn_lib.erasure.task import Task

Part = Callable[[int, torch.Generator], float]
"""(iteration, generator) -> loss, whose gradient it leaves in the trained parameters."""


class Options(Settings):
    """What every method can be told. Defaults are the paper's, for Stable Diffusion.

    ``quirks`` name deviations of the official code from the paper, off by default. A class that gives an
    option another default keeps its marks.
    """

    MOST: ClassVar[dict[str, int]] = Settings.MOST | {"steps": MOST_STEPS}
    QUIRKS: ClassVar[dict[str, str]] = {}

    component: str = Field("unet", description="the part that is trained: unet or text_encoder")
    group: str = Field("noxattn", description="which of its weights (erasure/parameters.py)")
    iterations: int = Field(
        1000,
        ge=0,
        description="optimiser steps",
        json_schema_extra=marks(scaled=True, smallest=2, source="paper, set-up of training"),
    )
    lr: float = Field(
        1e-05, gt=0, description="learning rate", json_schema_extra=marks(source="paper, set-up of training")
    )
    batch: int = Field(
        1,
        ge=1,
        description="samples a step, each with a prompt and a noise level of its own",
        json_schema_extra=marks(smallest=1, at_once=True, source="paper, set-up of training"),
    )
    quirks: Quirks = frozenset()

    def scaled(self, factor: float) -> Self:
        """The same with ``factor`` times the work; of what there is any of, 1 at least is left."""
        counts = {name: getattr(self, name) for name in self.marked("scaled")}
        return self.model_copy(
            update={name: max(1, round(count * factor)) for name, count in counts.items() if count}
        )

    def samples(self) -> int:
        """How many samples a step takes at once, at most."""
        return max(getattr(self, name) for name in self.marked("at_once"))

    def room(self) -> int:
        """How many more tokens than its own a concept's prompt must have room for."""
        return sum(getattr(self, name) for name in self.marked("room"))

    def official_quirks(self) -> frozenset[str]:
        """Those with which the official code runs where it is set like this."""
        return frozenset(self.QUIRKS)


WITH_QUIRKS: dict[type[Method], type[Any]] = {}
"""For a class without the quirks of its options: the subclass that has them (``official.py``)."""


class Method:
    """One training run. A method overrides its :meth:`loss` and what else differs; ``loop.py`` trains it.

    ``LABEL`` is its name in the paper's tables; one whose training is ``SLOW`` is trained before the others;
    ``MAX_GRADIENT_NORM`` clips the gradient of a step, if set.
    """

    OPTIONS: ClassVar[type[Options]] = Options
    LABEL: ClassVar[str] = ""
    SLOW: ClassVar[bool] = False
    MAX_GRADIENT_NORM: ClassVar[float | None] = None
    options: Options

    def __new__(cls, task: Task, options: Options) -> Self:
        """Where quirks are set, an object of the class that has them."""
        return super().__new__(WITH_QUIRKS.get(cls, cls) if options.quirks else cls)

    def __init__(self, task: Task, options: Options) -> None:
        self.task, self.frozen, self.options = task, task.frozen, options
        self.model = task.frozen.copy_of(options.component)
        self.trained = self.choose_parameters()
        for parameter in self.trained.values():
            parameter.requires_grad_(True)
        self.ids = task.frozen.tokenize(task.concept)
        self.state: dict[str, Tensor] = {}
        self.numbers: dict[str, float] = {}  # what an iteration is logged with, besides its loss

    @classmethod
    def needs(cls, options: Options) -> tuple[str, ...]:
        """The names of the lists, the task's or its own options', that it cannot do without."""
        return ()

    def choose_parameters(self) -> dict[str, torch.nn.Parameter]:
        """The trained parameters, by name."""
        return select(getattr(self.model, self.options.component), self.options.component, self.options.group)

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam, unless the method's paper says otherwise."""
        return torch.optim.Adam(self.trained.values(), lr=self.options.lr)

    def rate_factor(self, iteration: int) -> float:
        """What the learning rate is multiplied by."""
        return 1.0

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """The loss of one iteration; all randomness comes from ``generator``."""
        raise NotImplementedError

    def parts(self) -> tuple[Part, ...]:
        """What leaves the gradient of each optimiser step of an iteration, in their order."""
        return (self.backward,)

    def backward(self, iteration: int, generator: torch.Generator) -> float:
        """Leave the iteration's gradient in the trained parameters and return the loss."""
        return self.leave_gradient(self.loss(iteration, generator))

    def leave_gradient(self, loss: Tensor) -> float:
        """Leave the gradient of ``loss`` in the trained parameters and return its value."""
        loss.backward()
        return loss.item()

    def finish(self) -> None:
        """Called once after the last iteration."""

    def gradients(self, loss: Tensor) -> list[Tensor]:
        """The gradient of ``loss`` for each trained parameter, zeros where it has none.

        Nothing is left in ``.grad``.
        """
        trained = list(self.trained.values())
        return list(torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True))

    def set_gradients(self, gradients: list[Tensor]) -> None:
        """Put ``gradients``, which are used up, where the optimiser looks for them."""
        for parameter, gradient in zip(self.trained.values(), gradients, strict=True):
            parameter.grad = gradient
