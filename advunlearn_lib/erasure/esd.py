r"""ESD, Erased Stable Diffusion (Gandikota et al., ICCV 2023), on the UNet or on the text encoder.

    L = || eps(z_t, t, T(c)) - [ eps_0(z_t, t, "") - eta ( eps_0(z_t, t, c) - eps_0(z_t, t, "") ) ] ||^2

eps_0 is the frozen model; eps and T are the current UNet and text encoder, of which one is trained.
Paper: AdvUnlearn section 3; official ``utils/get_loss.py``.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.erasure.method import Method, Options
from advunlearn_lib.erasure.parameters import select
from advunlearn_lib.erasure.paths import Bank, PathBatch, Resampler
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


class ESDOptions(Options):
    """What ESD can be told."""

    QUIRKS: ClassVar[dict[str, str]] = {
        "noise_level_mismatch": "the model is told a timestep 39..58 above the noise level of z_t",
        "layer_prefix_match": "'first N layers' also trains layers 10 and 11 for N >= 2",
    }

    eta: float = Field(1.0, gt=0, description="negative guidance: how far beyond the empty prompt's answer")
    steps: int = Field(50, ge=2, description="DDIM steps of the sampling path")
    guidance_scale: float = Field(3.0, ge=0, description="of the sampling path")
    per_prompt: int = Field(100, ge=1, description="sampling paths kept for each concept prompt")
    resample: bool = Field(False, description="sample from scratch at each draw, as the official code does")


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
        """Sampling paths of ``prompts``; with ``resample`` those
        of the UNet in training, as the official code's are.
        """
        options = self.options
        arguments = (self.frozen, prompts, per_prompt, options.steps, options.guidance_scale, seed)
        if options.resample:
            return Resampler(*arguments, model=self.model if options.component == "unet" else None)
        return Bank(*arguments, tensors=self.task.tensors)

    def choose_parameters(self) -> dict[str, torch.nn.Parameter]:
        """The parameters of the group."""
        options = self.options
        return select(
            getattr(self.model, options.component),
            options.component,
            options.group,
            "layer_prefix_match" in options.quirks,
        )

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """L above for a batch of paths."""
        which = self.choose_paths(generator)
        ids = self.ids[self.bank.prompt_index[which]]
        return self.erase_loss(which, self.model.encode(ids), generator)

    def choose_paths(self, generator: torch.Generator) -> Tensor:
        """A batch of sampling paths [b], and with them of concept prompts."""
        return torch.randint(len(self.bank), (self.options.batch,), generator=generator)

    def erase_loss(self, which: Tensor, prompt_embeds: Tensor, generator: torch.Generator) -> Tensor:
        """L above on paths ``which``, whose prompts the current model sees as ``prompt_embeds`` [b, l, d]."""
        batch = self.sample_points(which, generator)
        target = batch.eps_empty - self.options.eta * (batch.eps_prompt - batch.eps_empty)
        return F.mse_loss(self.predict(batch, prompt_embeds), target)

    def predict(self, batch: PathBatch, prompt_embeds: Tensor) -> Tensor:
        """The current model's noise prediction."""
        return self.model.predict_noise(batch.latents, batch.timesteps, prompt_embeds)

    def sample_points(self, which: Tensor, generator: torch.Generator) -> PathBatch:
        """A random point on each of the paths ``which``."""
        batch = self.bank.at(which, torch.randint(self.options.steps, which.shape, generator=generator))
        if "noise_level_mismatch" in self.options.quirks:
            return mismatched(self.frozen, batch, self.ids, generator)
        return batch


@torch.no_grad()
def mismatched(
    frozen: LatentDiffusion, batch: PathBatch, ids: Tensor, generator: torch.Generator
) -> PathBatch:
    """The official code's mismatch: tell the models a timestep 39..58 above the latents' noise level."""
    above = torch.randint(39, 59, batch.timesteps.shape, generator=generator)
    timesteps = (batch.timesteps + above.to(batch.timesteps)).clamp(max=999)
    empty = frozen.unconditional().expand(len(timesteps), -1, -1)
    eps_empty = frozen.predict_noise(batch.latents, timesteps, empty)
    eps_prompt = frozen.predict_noise(batch.latents, timesteps, frozen.encode(ids[batch.prompt]))
    return PathBatch(batch.latents, timesteps, eps_empty, eps_prompt, batch.prompt)
