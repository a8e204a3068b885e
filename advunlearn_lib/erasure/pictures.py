"""What the methods that train on pictures share.

They share the base model's own pictures of what to forget and of what remains. FMN, AC, SalUn, EraseDiff and
ScissorHands noise a picture's latents z_0 to a random timestep; no sampling path is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.seeds import derived_seed
from advunlearn_lib.base.settings import marks
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.method import Method, Options
from advunlearn_lib.erasure.task import Task

GUIDANCE = 7.5  # of the guided loss
VERSION = 2  # raised when the same recipe comes to mean other pictures


class PictureOptions(Options):
    """How many pictures, and how they are made."""

    group: str = "full"
    per_prompt: int = Field(
        800,
        ge=1,
        description="pictures of each forget prompt",
        json_schema_extra=marks(scaled=True, smallest=1, source="SalUn's authors: 800"),
    )
    sampling_steps: int = Field(
        50,
        ge=1,
        description="denoising steps of these pictures",
        json_schema_extra=marks(smallest=2, source="*unknown*: diffusers' default"),
    )
    guidance_scale: float = Field(
        7.5,
        ge=0,
        description="of these pictures",
        json_schema_extra=marks(source="*unknown*: diffusers' default"),
    )


@dataclass(frozen=True)
class NoisyBatch:
    """A batch of noisy latents: z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) ``noise``.

    ``latents`` are the z_t at ``timesteps``; ``prompt`` is each one's prompt index.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    prompt: Tensor


class Pictures:
    """Pictures of ``prompts`` as latents z_0, drawn by the frozen model.

    ``mirrored``: each one's mirror image too.
    """

    def __init__(
        self,
        task: Task,
        prompts: list[str],
        per_prompt: int,
        options: PictureOptions,
        seed: int,
        mirrored: bool = False,
    ) -> None:
        self.frozen, self.prompts = task.frozen, prompts
        sampling = Sampling("dpm++", options.sampling_steps, options.guidance_scale)
        texts = [prompt for prompt in prompts for _ in range(per_prompt)]
        seeds = [derived_seed(seed, index) for index in range(len(texts))]

        def make() -> dict[str, Tensor]:
            images = task.frozen.generate(texts, seeds, sampling, 32)
            images = torch.cat([images, images.flip(-1)]) if mirrored else images
            return {"latents": task.frozen.encode_images(images)}

        recipe = {"version": VERSION, "prompts": prompts, "per_prompt": per_prompt, "seed": seed}
        recipe |= {"sampling": vars(sampling)} | ({"mirrored": True} if mirrored else {})
        self.latents = task.tensors("pictures", recipe, make)["latents"]
        self.prompt = torch.arange(len(prompts)).repeat_interleave(per_prompt).repeat(1 + mirrored)
        self.embeds = task.frozen.encode_prompts(prompts)

    def sample_batch(self, batch: int, generator: torch.Generator) -> NoisyBatch:
        """A random batch; timesteps uniform over the whole schedule."""
        which = torch.randint(len(self.latents), (batch,), generator=generator)
        timesteps = torch.randint(len(self.frozen.alphas_cumprod), (batch,), generator=generator)
        latents = self.latents[which].to(self.frozen.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        noisy = self.frozen.add_noise(latents, noise, timesteps.to(latents.device))
        return NoisyBatch(noisy, noise, timesteps.to(latents.device), self.prompt[which])


class PictureMethod(Method):
    """A UNet method with pictures of what to forget, ``forget``."""

    options: PictureOptions

    def __init__(self, task: Task, options: PictureOptions) -> None:
        super().__init__(task, options)
        self.forget = Pictures(task, task.forget_prompts, options.per_prompt, options, task.seed)

    def sample_batch(self, generator: torch.Generator) -> NoisyBatch:
        """A batch of the concept's pictures."""
        return self.forget.sample_batch(self.options.batch, generator)

    def denoising_loss(self, pictures: Pictures, batch: NoisyBatch) -> Tensor:
        """|| eps(z_t, t, prompt) - eps ||^2 on a batch of ``pictures``: how the model was trained."""
        predicted = self.model.predict_noise(batch.latents, batch.timesteps, pictures.embeds[batch.prompt])
        return F.mse_loss(predicted, batch.noise)

    def guided_loss(self, batch: NoisyBatch) -> Tensor:
        """The same loss of the guided prediction, scale 7.5, on pictures of what to forget.

        Official codes have it.
        """
        embeds = self.forget.embeds[batch.prompt]
        empty = self.frozen.unconditional().expand_as(embeds)
        prompt, blank = (
            self.model.predict_noise(batch.latents, batch.timesteps, words) for words in (embeds, empty)
        )
        return F.mse_loss((1 + GUIDANCE) * prompt - GUIDANCE * blank, batch.noise)


class RelabellingOptions(PictureOptions):
    """A picture method's options, and how many pictures of what remains."""

    remain_per_prompt: int = Field(
        800,
        ge=1,
        description="pictures of each remain prompt",
        json_schema_extra=marks(scaled=True, smallest=1, source="SalUn's authors: 800"),
    )


class Relabelling(PictureMethod):
    """Forget by answering the forget prompt as its surrogate's; remember on pictures of what remains.

    l_f = || eps(z_t, t, c) - sg[ eps(z_t, t, surrogate of c) ]
    ||^2,  z_t a noised picture of c;  l_r the denoising loss.
    """

    options: RelabellingOptions

    def __init__(self, task: Task, options: RelabellingOptions) -> None:
        super().__init__(task, options)
        seed = task.seed + 1
        self.remain = Pictures(task, task.remain_prompts, options.remain_per_prompt, options, seed)
        surrogates = self.surrogates()
        self.surrogate_embeds = task.frozen.encode_prompts(surrogates) if surrogates else None

    @classmethod
    def needs(cls, options: Options) -> tuple[str, ...]:
        """What to remember, and what to show instead."""
        return ("remain_prompts", "surrogate")

    def surrogates(self) -> list[str]:
        """What each forget prompt is made to mean."""
        return self.task.surrogate

    def forget_loss(self, batch: NoisyBatch) -> Tensor:
        """l_f on a batch of pictures of what to forget."""
        assert self.surrogate_embeds is not None
        with torch.no_grad():
            target = self.model.predict_noise(
                batch.latents, batch.timesteps, self.surrogate_embeds[batch.prompt]
            )
        ours = self.model.predict_noise(batch.latents, batch.timesteps, self.forget.embeds[batch.prompt])
        return F.mse_loss(ours, target)

    def remain_loss(self, generator: torch.Generator) -> Tensor:
        """l_r on a batch of remaining pictures."""
        return self.denoising_loss(self.remain, self.remain.sample_batch(self.options.batch, generator))
