"""One view over a diffusers text-to-image pipeline: encode prompts, predict noise, sample, decode.

The same class serves Stable Diffusion v1.x and the pocket model; nothing here knows which one it holds.
Shapes: ``ids`` [b, l], ``token_embeds`` and ``prompt_embeds`` [b, l, d], ``latents`` [b, c, h, w], images in [0, 1].
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, LMSDiscreteScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from advunlearn_lib.errors import UserError, choose

SAMPLERS: dict[str, Any] = {"ddim": DDIMScheduler, "dpm++": DPMSolverMultistepScheduler, "lms": LMSDiscreteScheduler}


@dataclass(frozen=True)
class Sampling:
    """How pictures are made: ``sampler`` is one of ddim, dpm++, lms."""

    sampler: str = "dpm++"
    steps: int = 10
    guidance_scale: float = 5.0


class LatentDiffusion:
    """Text encoder, UNet, VAE, tokenizer and noise schedule of a ``StableDiffusionPipeline``."""

    def __init__(self, pipeline: StableDiffusionPipeline) -> None:
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline = pipeline
        self.tokenizer, self.scheduler = pipeline.tokenizer, pipeline.scheduler
        for module in (pipeline.unet, pipeline.text_encoder, pipeline.vae):
            module.requires_grad_(False).eval()
        if self.device.type == "cpu":  # the fused attention's backward pass is slow on CPUs
            pipeline.unet.set_attn_processor(AttnProcessor())

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> LatentDiffusion:
        """Load a pipeline folder or hub id. Raises :class:`UserError` where it is missing or damaged."""
        folder = str(folder)
        try:
            pipeline = StableDiffusionPipeline.from_pretrained(
                folder, dtype=dtype, safety_checker=None, local_files_only=Path(folder).exists()
            )
        except Exception as error:  # diffusers, safetensors and json each raise their own
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise UserError(f"cannot load a StableDiffusionPipeline from {folder!r}: {reason}") from error
        return cls(pipeline.to(device))

    @property
    def text_encoder(self) -> Any:
        """The ``CLIPTextModel``."""
        return self.pipeline.text_encoder

    @property
    def unet(self) -> Any:
        """The ``UNet2DConditionModel``."""
        return self.pipeline.unet

    @property
    def device(self) -> torch.device:
        """Where the UNet lives."""
        return torch.device(self.pipeline.unet.device)

    def with_parts(self, text_encoder: Any = None, unet: Any = None) -> LatentDiffusion:
        """A model that shares everything but the given parts."""
        parts = dict(self.pipeline.components)
        parts |= {"text_encoder": text_encoder or self.text_encoder, "unet": unet or self.unet}
        return LatentDiffusion(StableDiffusionPipeline(**parts, requires_safety_checker=False))

    def copy_of(self, component: str) -> LatentDiffusion:
        """A model with its own copy of ``component`` ("unet" or "text_encoder"), ready to be trained."""
        return self.with_parts(**{component: copy.deepcopy(getattr(self, component))})

    # -- text ------------------------------------------------------------------------------------------------------

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Ids padded to the model's length, start and end tokens included."""
        batch = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
        return torch.as_tensor(batch.input_ids, device=self.device)

    def token_embeds(self, ids: Tensor) -> Tensor:
        """Rows of the token embedding table, without positions."""
        return torch.as_tensor(self.text_encoder.get_input_embeddings()(ids))

    def encode(self, ids: Tensor, token_embeds: Tensor | None = None) -> Tensor:
        """Last hidden state after the final layer norm; ``token_embeds`` stands in for the table's rows if given.

        A forward hook on the embedding table makes soft prompts work in every version of ``CLIPTextModel``.
        """
        if token_embeds is None:
            return torch.as_tensor(self.text_encoder(ids).last_hidden_state)
        hook = self.text_encoder.get_input_embeddings().register_forward_hook(lambda *_: token_embeds)
        try:
            return torch.as_tensor(self.text_encoder(ids).last_hidden_state)
        finally:
            hook.remove()

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str], batch: int = 64) -> Tensor:
        """Embeddings of texts, no gradient."""
        return torch.cat([self.encode(ids) for ids in self.tokenize(prompts).split(batch)])

    # -- noise -----------------------------------------------------------------------------------------------------

    def predict_noise(self, latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """The UNet's output eps(z_t, t, c)."""
        return torch.as_tensor(self.unet(latents, timesteps, prompt_embeds).sample)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps."""
        return torch.as_tensor(self.scheduler.add_noise(latents, noise, timesteps))

    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one latent."""
        config = self.unet.config
        return int(config.in_channels), int(config.sample_size), int(config.sample_size)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Standard normal latents, one generator a seed, drawn on the CPU so that every machine sees the same."""
        drawn = [torch.randn(self.latent_shape(), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(drawn).to(self.device, self.unet.dtype)

    # -- pictures --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[str] | Tensor,
        seeds: Sequence[int],
        sampling: Sampling,
        batch: int = 64,
        callback: Callable[[int], object] | None = None,
    ) -> Tensor:
        """Pictures [b, 3, h, w] in [0, 1], one seed a prompt; ``callback(done)`` after each batch.

        ``prompts`` are texts, or prompt embeddings [b, l, d]. The unconditional prompt "" goes through this model's own
        text encoder, as the paper's evaluation does.
        """
        scheduler = SAMPLERS[choose("sampler", sampling.sampler, SAMPLERS)]
        pipeline = copy.copy(self.pipeline)
        pipeline.scheduler = scheduler.from_config(self.scheduler.config)
        empty, images = self.encode_prompts([""]), []
        for start in range(0, len(prompts), batch):
            part = prompts[start : start + batch]
            embeds = part if isinstance(part, Tensor) else self.encode_prompts(part, batch)
            result = pipeline(
                prompt_embeds=embeds,
                negative_prompt_embeds=empty.expand_as(embeds),
                latents=self.noise(seeds[start : start + batch]),
                num_inference_steps=sampling.steps,
                guidance_scale=sampling.guidance_scale,
                output_type="pt",
            )
            images.append(result.images.float().cpu())
            if callback is not None:
                callback(start + len(embeds))
        return torch.cat(images)

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Scaled posterior means z_0 of pictures in [0, 1]."""
        vae = self.pipeline.vae
        mean = vae.encode((2 * images - 1).to(self.device, vae.dtype)).latent_dist.mean
        return torch.as_tensor(mean * vae.config.scaling_factor)

    @torch.no_grad()
    def decode_latents(self, latents: Tensor, batch: int = 64) -> Tensor:
        """Pictures in [0, 1] of scaled latents z_0."""
        vae = self.pipeline.vae
        parts = [vae.decode(part.to(vae.dtype) / vae.config.scaling_factor).sample for part in latents.split(batch)]
        return (torch.cat(parts).float().cpu() / 2 + 0.5).clamp(0, 1)
