r"""ESD, Erased Stable Diffusion (Gandikota et al., ICCV 2023), on the UNet or on the text encoder.

    L = || eps(z_t, t, T(c)) - [ eps_0(z_t, t, "") - eta ( eps_0(z_t, t, c) - eps_0(z_t, t, "") ) ] ||^2

eps_0 is the frozen model; eps and T are the current UNet and text encoder, of which one is trained.
Paper: AdvUnlearn section 3; official ``utils/get_loss.py``.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from advunlearn_lib.erasure.parameters import select
from advunlearn_lib.model import LatentDiffusion
from advunlearn_lib.trajectories import Draw, Resampler


class ESDOptions(BaseModel):
    """What ESD can be told. ``quirks`` name deviations of the official code from the paper, off by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    QUIRKS: ClassVar[dict[str, str]] = {
        "noise_level_mismatch": "the model is told a timestep 39..58 above the noise level of z_t",
        "layer_prefix_match": "'first N layers' also trains layers 10 and 11 for N >= 2",
    }

    component: str = "unet"
    group: str = "noxattn"
    iterations: int = Field(150, ge=1)
    lr: float = Field(1e-4, gt=0)
    batch: int = Field(8, ge=1, description="samples a step, each with a concept prompt and a noise level of its own")
    eta: float = Field(1.0, gt=0)
    steps: int = Field(20, ge=2, description="DDIM steps of the sampling path")
    guidance_scale: float = Field(3.0, ge=0)
    per_prompt: int = Field(32, ge=1, description="sampling paths kept for each concept prompt")
    resample: bool = Field(False, description="sample from scratch at each draw, as the official code does")
    quirks: frozenset[str] = frozenset()


class ESD:
    """One training run's state; the loop in ``erasure.train`` calls :meth:`loss` and steps the optimiser."""

    options: ESDOptions

    def __init__(self, frozen: LatentDiffusion, options: ESDOptions, concept: list[str], bank: Resampler) -> None:
        self.frozen, self.options, self.concept, self.bank = frozen, options, concept, bank
        self.model = frozen.copy_of(options.component)
        module = getattr(self.model, options.component)
        self.trained = select(module, options.component, options.group, "layer_prefix_match" in options.quirks)
        for parameter in self.trained.values():
            parameter.requires_grad_(True)
        self.ids = frozen.tokenize(concept)
        self.state: dict[str, Tensor] = {}

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """The loss of one iteration; all randomness comes from ``generator``."""
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
    told = (draw.timesteps + torch.randint(39, 59, draw.timesteps.shape, generator=generator)).clamp(max=999)
    empty = frozen.encode_prompts([""]).expand(len(told), -1, -1)
    eps_empty = frozen.predict_noise(draw.latents, told, empty)
    eps_prompt = frozen.predict_noise(draw.latents, told, frozen.encode(ids[draw.prompt]))
    return Draw(draw.latents, told, eps_empty, eps_prompt, draw.prompt)
