"""What the methods that train on pictures share: the base model's own pictures of the concept and of the retain set.

FMN, AC, SalUn, EraseDiff and ScissorHands noise a picture's latents z_0 to a random timestep; no sampling path is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from advunlearn_lib.erasure.base import Method, Options, Task
from advunlearn_lib.model import Sampling


class PictureOptions(Options):
    """How many pictures, and how they are made."""

    group: str = "full"
    per_prompt: int = Field(12, ge=1, description="pictures kept for each concept prompt")
    retain_per_prompt: int = Field(4, ge=1)
    sampling_steps: int = Field(8, ge=1)
    guidance_scale: float = Field(5.0, ge=0)


@dataclass(frozen=True)
class Noisy:
    """A batch: ``latents`` z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) ``noise`` at ``timesteps``, and each one's ``prompt`` index."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    prompt: Tensor


class Pictures:
    """Pictures of ``prompts`` as latents z_0, drawn by the frozen model."""

    def __init__(self, task: Task, prompts: list[str], per_prompt: int, options: PictureOptions, seed: int) -> None:
        self.frozen, self.prompts = task.frozen, prompts
        sampling = Sampling("dpm++", options.sampling_steps, options.guidance_scale)
        texts = [prompt for prompt in prompts for _ in range(per_prompt)]
        seeds = [seed * 1_000_003 + index for index in range(len(texts))]

        def make() -> Tensor:
            return task.frozen.encode_images(task.frozen.generate(texts, seeds, sampling, 32)).half()

        self.latents = task.pictures(prompts, make, per_prompt, seed, vars(sampling)).to(task.frozen.unet.dtype)
        self.prompt = torch.arange(len(prompts)).repeat_interleave(per_prompt)
        self.embeds = task.frozen.encode_prompts(prompts)

    def draw(self, batch: int, generator: torch.Generator) -> Noisy:
        """A random batch; timesteps uniform over the whole schedule."""
        which = torch.randint(len(self.latents), (batch,), generator=generator)
        timesteps = torch.randint(self.frozen.scheduler.config.num_train_timesteps, (batch,), generator=generator)
        latents = self.latents[which].to(self.frozen.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        noisy = self.frozen.add_noise(latents, noise, timesteps.to(latents.device))
        return Noisy(noisy, noise, timesteps.to(latents.device), self.prompt[which])


class PictureMethod(Method):
    """A UNet method with pictures of the concept, ``forget``."""

    options: PictureOptions

    def __init__(self, task: Task, options: PictureOptions) -> None:
        super().__init__(task, options)
        self.forget = Pictures(task, task.concept, options.per_prompt, options, task.seed)

    def draw(self, generator: torch.Generator) -> Noisy:
        """A batch of the concept's pictures."""
        return self.forget.draw(self.options.batch, generator)

    def denoising_loss(self, pictures: Pictures, draw: Noisy) -> Tensor:
        """|| eps(z_t, t, prompt) - eps ||^2 on a batch of ``pictures``: how the model was trained."""
        return F.mse_loss(self.model.predict_noise(draw.latents, draw.timesteps, pictures.embeds[draw.prompt]), draw.noise)


class Relabelling(PictureMethod):
    """Forget by answering the concept's prompt as the surrogate's; remember on pictures of the retain set.

    l_f = || eps(z_t, t, c) - sg[ eps(z_t, t, surrogate of c) ] ||^2,  z_t a noised picture of c;  l_r the denoising loss.
    """

    def __init__(self, task: Task, options: PictureOptions) -> None:
        super().__init__(task, options)
        self.remain = Pictures(task, self.needs("retain_set"), options.retain_per_prompt, options, task.seed + 1)
        self.instead = task.frozen.encode_prompts(self.needs("surrogate"))

    def forget_loss(self, draw: Noisy) -> Tensor:
        """l_f on a batch of the concept's pictures."""
        with torch.no_grad():
            target = self.model.predict_noise(draw.latents, draw.timesteps, self.instead[draw.prompt])
        return F.mse_loss(self.model.predict_noise(draw.latents, draw.timesteps, self.forget.embeds[draw.prompt]), target)

    def remain_loss(self, generator: torch.Generator) -> Tensor:
        """l_r on a batch of the retain set's pictures."""
        return self.denoising_loss(self.remain, self.remain.draw(self.options.batch, generator))
