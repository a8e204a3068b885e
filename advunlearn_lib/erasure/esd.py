r"""ESD, Erased Stable Diffusion (Gandikota et al., ICCV 2023), on the UNet or on the text encoder.

    L = || eps(z_t, t, T(c)) - [ eps_0(z_t, t, "") - eta ( eps_0(z_t, t, c) - eps_0(z_t, t, "") ) ] ||^2

eps_0 is the frozen model; eps and T are the current UNet and text encoder, of which one is trained.
Paper: AdvUnlearn section 3; official ``utils/get_loss.py``, whose quirks are in ``official.py``.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.settings import marks
from advunlearn_lib.erasure.bank import FRESH, Bank, PathBatch, Resampler
from advunlearn_lib.erasure.method import Method, Options
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


class ESDOptions(Options):
    """What ESD can be told."""

    QUIRKS: ClassVar[dict[str, str]] = {
        "noise_level_mismatch": "models are told t in [20k, 20k + 19] of 50 steps for z_t at level 20k - 39: "
        "the two first states of a path are never drawn, its last stands for k = 0, 1 and 2",
        "layer_prefix_match": "'first N layers' also trains layers 10 and 11 for N >= 2",
    }

    eta: float = Field(
        1.0,
        gt=0,
        description="negative guidance: how far beyond the empty prompt's answer",
        json_schema_extra=marks(source="paper, set-up of training"),
    )
    steps: int = Field(
        50,
        ge=2,
        description="DDIM steps of the sampling path",
        json_schema_extra=marks(smallest=2, source="official AdvUnlearn and ESD (2023): 50 DDIM steps"),
    )
    guidance_scale: float = Field(
        3.0,
        ge=0,
        description="of the sampling path",
        json_schema_extra=marks(source="official AdvUnlearn and ESD: start guidance 3"),
    )
    per_prompt: int = Field(
        100,
        ge=1,
        description="sampling paths kept for each concept prompt",
        json_schema_extra=marks(
            scaled=True,
            smallest=1,
            source="ours: 100 paths of 50 states stand for fresh ones at each of 1000 steps",
        ),
    )
    resample: bool = Field(
        False,
        description="sample from fresh noise at each draw, as the official code does; no path is kept",
        json_schema_extra=marks(source="official ESD (2025) samples from the frozen model too"),
    )


@METHODS.register("esd")
class ESD(Method):
    """Draws paths of the concept's prompts and points on them."""

    OPTIONS = ESDOptions
    LABEL = "ESD"
    options: ESDOptions

    def __init__(self, task: Task, options: ESDOptions) -> None:
        super().__init__(task, options)
        self.bank = self.paths(task.concept, options.per_prompt, task.seed)

    def paths(self, prompts: list[str], per_prompt: int, seed: int) -> Resampler:
        """Sampling paths of ``prompts``.

        With ``resample`` they are fresh ones, of the UNet in training, as the official code's are.
        """
        options = self.options
        settings = (options.steps, options.guidance_scale, seed)
        if options.resample:
            current = self.model if options.component == "unet" else None
            return Resampler(self.frozen, prompts, FRESH, *settings, model=current)
        return Bank(self.frozen, prompts, per_prompt, *settings, tensors=self.task.tensors)

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """L above for a batch of paths."""
        batch = self.sample_points(self.choose_paths(generator), generator)
        return self.erase_loss(batch, self.model.encode(self.ids[batch.prompt]))

    def choose_paths(self, generator: torch.Generator) -> Tensor:
        """A batch of sampling paths [b], and with them of concept prompts."""
        return torch.randint(len(self.bank), (self.options.batch,), generator=generator)

    def erase_loss(self, batch: PathBatch, prompt_embeds: Tensor) -> Tensor:
        """L above on ``batch``, whose prompts the current model sees as ``prompt_embeds`` [b, l, d]."""
        target = batch.eps_empty - self.options.eta * (batch.eps_prompt - batch.eps_empty)
        return F.mse_loss(self.predict(batch, prompt_embeds), target)

    def predict(self, batch: PathBatch, prompt_embeds: Tensor) -> Tensor:
        """The current model's noise prediction."""
        return self.model.predict_noise(batch.latents, batch.timesteps, prompt_embeds)

    def sample_points(self, which: Tensor, generator: torch.Generator) -> PathBatch:
        """A random point on each of the concept's paths ``which``."""
        return self.points_on(self.bank, which, generator)

    def points_on(self, bank: Resampler, which: Tensor, generator: torch.Generator) -> PathBatch:
        """A random point on each path ``which`` of ``bank``."""
        return bank.at(which, torch.randint(self.options.steps, which.shape, generator=generator))
