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

from advunlearn_lib.erasure.base import Method, Options, Task
from advunlearn_lib.erasure.parameters import select
from advunlearn_lib.model import LatentDiffusion
from advunlearn_lib.trajectories import Draw, Resampler


class ESDOptions(Options):
    """What ESD can be told."""

    QUIRKS: ClassVar[dict[str, str]] = {
        "noise_level_mismatch": "the model is told a timestep 39..58 above the noise level of z_t",
        "layer_prefix_match": "'first N layers' also trains layers 10 and 11 for N >= 2",
    }

    eta: float = Field(1.0, gt=0)
    steps: int = Field(20, ge=2, description="DDIM steps of the sampling path")
    guidance_scale: float = Field(3.0, ge=0)
    per_prompt: int = Field(32, ge=1, description="sampling paths kept for each concept prompt")
    resample: bool = Field(False, description="sample from scratch at each draw, as the official code does")


class ESD(Method):
    """Draws paths of the concept's prompts and points on them."""

    OPTIONS = ESDOptions
    options: ESDOptions

    def __init__(self, task: Task, options: ESDOptions) -> None:
        super().__init__(task, options)
        self.bank = self.paths(task.concept, options.per_prompt, task.seed)

    def paths(self, prompts: list[str], per_prompt: int, seed: int) -> Resampler:
        """Sampling paths of ``prompts``; with ``resample`` those of the UNet in training, as the official code's are."""
        options = self.options
        paths = self.task.paths(prompts, per_prompt, seed, options.steps, options.guidance_scale, options.resample)
        if options.resample and options.component == "unet":
            paths.model = self.model
        return paths

    def choose_parameters(self) -> dict[str, torch.nn.Parameter]:
        """The parameters of the group."""
        options = self.options
        return select(getattr(self.model, options.component), options.component, options.group, "layer_prefix_match" in options.quirks)

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """L above for a batch of paths."""
        which = self.choose(generator)
        ids = self.ids[self.bank.prompt_index[which]]
        return self.erase_loss(which, self.model.encode(ids), generator)

    def choose(self, generator: torch.Generator) -> Tensor:
        """A batch of sampling paths [b], and with them of concept prompts."""
        return torch.randint(len(self.bank), (self.options.batch,), generator=generator)

    def erase_loss(self, which: Tensor, prompt_embeds: Tensor, generator: torch.Generator) -> Tensor:
        """L above on paths ``which``, whose prompts the current model sees as ``prompt_embeds`` [b, l, d]."""
        draw = self.draw(which, generator)
        target = draw.eps_empty - self.options.eta * (draw.eps_prompt - draw.eps_empty)
        return F.mse_loss(self.predict(draw, prompt_embeds), target)

    def predict(self, draw: Draw, prompt_embeds: Tensor) -> Tensor:
        """The current model's noise prediction for a draw."""
        return self.model.predict_noise(draw.latents, draw.timesteps, prompt_embeds)

    def draw(self, which: Tensor, generator: torch.Generator) -> Draw:
        """A random point on each path."""
        draw = self.bank.at(which, torch.randint(self.options.steps, which.shape, generator=generator))
        return mismatched(self.frozen, draw, self.ids, generator) if "noise_level_mismatch" in self.options.quirks else draw


@torch.no_grad()
def mismatched(frozen: LatentDiffusion, draw: Draw, ids: Tensor, generator: torch.Generator) -> Draw:
    """The official code's mismatch: tell the models a timestep 39..58 above the latents' noise level."""
    above = torch.randint(39, 59, draw.timesteps.shape, generator=generator)
    told = (draw.timesteps + above.to(draw.timesteps)).clamp(max=999)
    empty = frozen.unconditional().expand(len(told), -1, -1)
    eps_empty = frozen.predict_noise(draw.latents, told, empty)
    eps_prompt = frozen.predict_noise(draw.latents, told, frozen.encode(ids[draw.prompt]))
    return Draw(draw.latents, told, eps_empty, eps_prompt, draw.prompt)
