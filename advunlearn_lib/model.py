"""One view over a diffusers text-to-image pipeline: encode prompts, predict noise, sample, decode.

The same class serves Stable Diffusion v1.x and the pocket model; nothing here knows which one it holds.
Shapes: ``ids`` [b, l], ``token_embeds`` and ``prompt_embeds`` [b, l, d], ``latents`` [b, c, h, w], images in [0, 1].
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler, LMSDiscreteScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from advunlearn_lib import hub
from advunlearn_lib.errors import UserError, choose

SAMPLERS: dict[str, Any] = {"ddim": DDIMScheduler, "dpm++": DPMSolverMultistepScheduler, "lms": LMSDiscreteScheduler}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Sampling:
    """How pictures are made: ``sampler`` is one of ddim, dpm++, lms."""

    sampler: str = "dpm++"
    steps: int = 10
    guidance_scale: float = 5.0


class LatentDiffusion:
    """Text encoder, UNet, VAE, tokenizer and noise schedule of a ``StableDiffusionPipeline`` (1.x or 2.x).

    Frozen parts keep the dtype they were loaded in; a part that is trained has fp32 weights and computes in that dtype.
    """

    PIPELINE: ClassVar[Any] = StableDiffusionPipeline
    LEFT_OUT: ClassVar[dict[str, Any]] = {"safety_checker": None, "requires_safety_checker": False}

    def __init__(self, pipeline: Any, dtype: torch.dtype | None = None) -> None:
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline, self.dtype = pipeline, dtype or pipeline.unet.dtype
        self.tokenizer, self.scheduler = pipeline.tokenizer, pipeline.scheduler
        self.micro_batch: int | None = None
        for module in (pipeline.unet, pipeline.vae, *self.text_encoders()):
            module.requires_grad_(False).eval()
        if self.device.type == "cpu" and self.latent_shape()[-1] <= 32:  # there the fused attention's backward pass is slower
            pipeline.unet.set_attn_processor(AttnProcessor())

    @staticmethod
    def load(folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> LatentDiffusion:
        """Load a pipeline folder or hub id (``owner/name@revision``), Stable Diffusion 1.x, 2.x or XL.

        Raises :class:`UserError` where it is missing, damaged, gated, or another kind of pipeline.
        """
        from advunlearn_lib.sdxl import LatentDiffusionXL

        name, options = hub.source(folder)
        kinds = {kind.PIPELINE.__name__: kind for kind in (LatentDiffusion, LatentDiffusionXL)}
        try:
            kind = kinds[choose("pipeline class", DiffusionPipeline.load_config(name, **options)["_class_name"], kinds)]
            pipeline = kind.PIPELINE.from_pretrained(name, dtype=dtype, **kind.LEFT_OUT, **options)
        except UserError:
            raise
        except Exception as error:  # diffusers, safetensors, hub and json each raise their own
            raise UserError(f"cannot load a text-to-image pipeline: {hub.reason(error, folder)}") from error
        return kind(pipeline.to(device))

    @property
    def text_encoder(self) -> Any:
        """The ``CLIPTextModel``."""
        return self.pipeline.text_encoder

    def text_encoders(self) -> list[Any]:
        """Every text encoder of the pipeline."""
        return [self.pipeline.text_encoder]

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
        parts = dict(self.pipeline.components) | self.text_parts(text_encoder or self.text_encoder) | {"unet": unet or self.unet}
        optional = {
            name: value
            for name, value in self.pipeline.config.items()
            if name in ("requires_safety_checker", "force_zeros_for_empty_prompt")
        }
        made = type(self)(type(self.pipeline)(**parts, **optional), self.dtype)
        made.micro_batch = self.micro_batch
        return made

    def text_parts(self, text_encoder: Any) -> dict[str, Any]:
        """The pipeline's components that ``text_encoder`` stands for."""
        return {"text_encoder": text_encoder}

    def copy_of(self, component: str) -> LatentDiffusion:
        """A model with its own fp32 copy of ``component`` ("unet" or "text_encoder"), ready to be trained."""
        return self.with_parts(**{component: copy.deepcopy(getattr(self, component)).float()})

    def autocast(self) -> torch.autocast:
        """Mixed precision where the model was loaded in half precision; nothing otherwise."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    # -- text ------------------------------------------------------------------------------------------------------

    def tokenize(self, prompts: Sequence[str]) -> Tensor:
        """Ids padded to the model's length, start and end tokens included."""
        batch = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt")
        return torch.as_tensor(batch.input_ids, device=self.device)

    def embedding_table(self) -> Tensor:
        """All token embeddings [v, d], without positions."""
        return torch.as_tensor(self.text_encoder.get_input_embeddings().weight)

    def token_embeds(self, ids: Tensor) -> Tensor:
        """Rows [..., d] of the token embedding table."""
        return torch.nn.functional.embedding(ids, self.embedding_table())

    def encode(self, ids: Tensor, token_embeds: Tensor | None = None) -> Tensor:
        """Last hidden state after the final layer norm; ``token_embeds`` stands in for the table's rows if given."""
        with self.autocast(), soft_tokens(self.text_encoder, token_embeds):
            return torch.as_tensor(self.text_encoder(ids).last_hidden_state)

    def unconditional(self) -> Tensor:
        """Embeddings [1, l, d] of the empty prompt, which guidance points away from."""
        return self.encode_prompts([""])

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str], batch: int = 64) -> Tensor:
        """Embeddings of texts, no gradient."""
        return torch.cat([self.encode(ids) for ids in self.tokenize(prompts).split(batch)])

    # -- noise -----------------------------------------------------------------------------------------------------

    def predict_noise(self, latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """eps(z_t, t, c) in fp32, also of a UNet that predicts v = sqrt(abar_t) eps - sqrt(1 - abar_t) z_0.

        ``timesteps`` is [b] or a single one. With ``micro_batch`` the rows go through the UNet in parts of that size and
        activations are recomputed in the backward pass: the same numbers in less memory.
        """
        size = self.micro_batch or len(latents)
        if self.micro_batch:
            self.unet.enable_gradient_checkpointing()
        every = timesteps.expand(len(latents)).to(self.device)
        rows = zip(latents.split(size), every.split(size), prompt_embeds.split(size), strict=True)
        with self.autocast():
            output = torch.cat([self.call_unet(z.to(self.unet.dtype), t, c.to(self.unet.dtype)) for z, t, c in rows]).float()
        if self.scheduler.config.prediction_type == "epsilon":
            return output
        share = self.scheduler.alphas_cumprod.to(output)[every].view(-1, 1, 1, 1)
        return share.sqrt() * output + (1 - share).sqrt() * latents

    def call_unet(self, latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """The UNet's raw output."""
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
        guidance_scale: Sequence[float] | None = None,
    ) -> Tensor:
        """Pictures [b, 3, h, w] in [0, 1], one seed a prompt; ``callback(done)`` after each batch.

        ``prompts`` are texts, or prompt embeddings [b, l, d]. The unconditional prompt "" goes through this model's own
        text encoder, as the paper's evaluation does. ``guidance_scale``: one a prompt, instead of the sampling's.
        """
        pipeline = copy.copy(self.pipeline)
        pipeline.scheduler = SAMPLERS[choose("sampler", sampling.sampler, SAMPLERS)].from_config(self.scheduler.config)
        empty, scales = self.unconditional(), guidance_scale or [sampling.guidance_scale] * len(seeds)
        pictures: dict[int, Tensor] = {}
        for scale in dict.fromkeys(scales):  # one guidance scale a call is all that pipelines take
            rows = [i for i, other in enumerate(scales) if other == scale]
            for part in (rows[start : start + batch] for start in range(0, len(rows), batch)):
                embeds = prompts[part] if isinstance(prompts, Tensor) else self.encode_prompts([prompts[i] for i in part], batch)
                with self.autocast():
                    images = pipeline(
                        **self.conditions(embeds, empty.expand_as(embeds)),
                        latents=self.noise([seeds[i] for i in part]),
                        num_inference_steps=sampling.steps,
                        guidance_scale=scale,
                        output_type="pt",
                    ).images
                pictures |= zip(part, images.float().cpu(), strict=True)
                if callback is not None:
                    callback(len(pictures))
        return torch.stack([pictures[i] for i in range(len(scales))])

    def conditions(self, prompt_embeds: Tensor, empty: Tensor) -> dict[str, Any]:
        """A pipeline call's arguments for prompt embeddings and as many of the empty prompt."""
        return {"prompt_embeds": prompt_embeds, "negative_prompt_embeds": empty}

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


@contextmanager
def soft_tokens(text_encoder: Any, token_embeds: Tensor | None) -> Iterator[None]:
    """Within, ``token_embeds`` [b, l, d] stand in for the rows that ``text_encoder`` would look up, if given.

    A forward hook on the embedding table works in every version of ``CLIPTextModel``.
    """
    if token_embeds is None:
        yield
        return
    table = text_encoder.get_input_embeddings()
    hook = table.register_forward_hook(lambda *_: token_embeds.to(table.weight.dtype))
    try:
        yield
    finally:
        hook.remove()
