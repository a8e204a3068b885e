"""One view over a diffusers text-to-image pipeline: encode prompts, predict noise, sample, decode.

The same class serves Stable Diffusion v1.x and the pocket model; nothing
here knows which one it holds. Shapes: ``ids`` [b, l], ``token_embeds`` and
``prompt_embeds`` [b, l, d], ``latents`` [b, c, h, w], images in [0, 1].
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.seeds import generator
from advunlearn_lib.diffusion.classes import plain_attention
from advunlearn_lib.diffusion.compiled import compiled_unet
from advunlearn_lib.diffusion.device import DTYPES, check_dtype
from advunlearn_lib.diffusion.microbatch import recomputed_activations
from advunlearn_lib.diffusion.sampling import Sampling, as_noise, batches, make_sampler, training_alphas
from advunlearn_lib.diffusion.soft_tokens import soft_tokens

KEPT_CONFIG = ("requires_safety_checker", "force_zeros_for_empty_prompt")


class LatentDiffusion:
    """Text encoder, UNet, VAE, tokenizer and noise schedule of a ``StableDiffusionPipeline`` (1.x or 2.x).

    All weights are fp32, and so are latents, targets and pictures; ``dtype`` is what the networks compute in,
    by autocast; ``compiled``: torch compiles the UNet of :meth:`predict`. ``alphas_cumprod`` [T] is the
    training noise. Raises :class:`UserError` for another dtype, for weights in another precision, which are
    rounded already, and for a schedule without betas.
    """

    PIPELINE: ClassVar[str] = "StableDiffusionPipeline"
    LEFT_OUT: ClassVar[dict[str, Any]] = {"safety_checker": None, "requires_safety_checker": False}
    PARTS: ClassVar[dict[str, dict[str, str]]] = {  # what can be trained: component -> subfolder -> class
        "text_encoder": {"": "CLIPTextModel"},
        "unet": {"": "UNet2DConditionModel"},
    }

    def __init__(self, pipeline: Any, dtype: torch.dtype = torch.float32) -> None:
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline, self.dtype = pipeline, check_dtype(dtype)
        self.tokenizer, self.scheduler = pipeline.tokenizer, pipeline.scheduler
        self.alphas_cumprod = training_alphas(self.scheduler).to(self.device)
        self.micro_batch: int | None = None
        self.compiled = False
        self.name = ""  # the folder or hub id that it was loaded from
        self.original = self  # the model that this one's parts were changed from
        for module in (pipeline.unet, pipeline.vae, *self.text_encoders()):
            if module.dtype != torch.float32:
                given = f"a {type(module).__name__} in {str(module.dtype).removeprefix('torch.')}"
                raise UserError(f"{given}: load weights in float32 (dtype sets what training computes in)")
            module.requires_grad_(False).eval()
        if self.device.type == "cpu" and self.latent_shape()[-1] <= 32:  # fused attention trains slower there
            pipeline.unet.set_attn_processor(plain_attention())

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
        parts = dict(self.pipeline.components)
        parts |= self.text_parts(text_encoder or self.text_encoder) | {"unet": unet or self.unet}
        kept = {name: value for name, value in self.pipeline.config.items() if name in KEPT_CONFIG}
        model = type(self)(type(self.pipeline)(**parts, **kept), self.dtype)
        model.micro_batch, model.original, model.name = self.micro_batch, self.original, self.name
        return model

    def text_parts(self, text_encoder: Any) -> dict[str, Any]:
        """The pipeline's components that ``text_encoder`` stands for."""
        return {"text_encoder": text_encoder}

    def join_parts(self, modules: dict[str, Any]) -> Any:
        """One component of its modules by subfolder, as ``PARTS`` lists them."""
        (module,) = modules.values()
        return module

    def copy_of(self, component: str) -> LatentDiffusion:
        """A model with its own copy of ``component`` ("unet" or "text_encoder"), ready to be trained."""
        return self.with_parts(**{component: copy.deepcopy(getattr(self, component))})

    def in_precision(self, dtype: torch.dtype, compiled: bool = False) -> LatentDiffusion:
        """A model of the same parts whose networks compute in ``dtype``, the UNet ``compiled`` by torch."""
        model = self.with_parts()
        model.dtype, model.compiled = check_dtype(dtype), compiled
        return model

    def autocast(self) -> torch.autocast:
        """Mixed precision where networks compute in half precision; nothing otherwise."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    # -- text --------------------------------------------------------------------------------------------

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
        """Last hidden state after the final layer norm; ``token_embeds``, if given, replace the table's."""
        with self.autocast(), soft_tokens(self.text_encoder, token_embeds):
            return torch.as_tensor(self.text_encoder(ids).last_hidden_state).float()

    def unconditional(self) -> Tensor:
        """Embeddings [1, l, d] of the empty prompt, which guidance points away from."""
        return self.encode_prompts([""])

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[str], batch: int = 64) -> Tensor:
        """Embeddings of texts, no gradient."""
        return torch.cat([self.encode(ids) for ids in self.tokenize(prompts).split(batch)])

    # -- noise -------------------------------------------------------------------------------------------

    def predict_noise(self, latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """eps(z_t, t, c) in fp32, also of a UNet that predicts v or z_0; ``timesteps`` as :meth:`predict`."""
        return self.noise_in(latents, timesteps, self.predict(latents, timesteps, prompt_embeds))

    def noise_in(self, latents: Tensor, timesteps: Tensor, output: Tensor) -> Tensor:
        """The noise that the UNet's ``output`` says is in ``latents`` (``as_noise``)."""
        shares = self.signal_and_noise(timesteps.expand(len(latents)), latents)
        return as_noise(self.scheduler.config.prediction_type, output, latents, *shares)

    def predict(self, latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """The UNet's output in fp32: noise, v or z_0, whatever it predicts.

        ``timesteps`` is [b] or a single one. With ``micro_batch`` the rows go through the UNet in parts of
        that size and activations are recomputed in the backward pass: the same numbers in less memory.
        """
        size = self.micro_batch or len(latents)
        steps = timesteps.expand(len(latents)).to(self.device)
        rows = list(zip(latents.split(size), steps.split(size), prompt_embeds.split(size), strict=True))
        unet: AbstractContextManager[None] = nullcontext()
        if self.micro_batch:
            unet = recomputed_activations(self.unet)
        elif self.compiled:
            unet = compiled_unet(self.pipeline, *rows[0])
        with self.autocast(), unet:
            parts = [self.call_unet(*row) for row in rows]
        return torch.cat(parts).float()

    def call_unet(self, latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """The UNet's raw output."""
        return torch.as_tensor(self.unet(latents, timesteps, prompt_embeds).sample)

    def signal_and_noise(self, timesteps: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(abar_t) and sqrt(1 - abar_t), [b, 1, 1, 1] on the device of ``like``, in fp32."""
        alphas = self.alphas_cumprod.to(like.device)[timesteps.to(like.device)].view(-1, 1, 1, 1)
        return alphas**0.5, (1 - alphas) ** 0.5

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps, by the training schedule."""
        signal, amount = self.signal_and_noise(timesteps, latents)
        return signal * latents + amount * noise

    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one latent."""
        config = self.unet.config
        return int(config.in_channels), int(config.sample_size), int(config.sample_size)

    def noise(self, seeds: Sequence[int]) -> Tensor:
        """Standard normal latents, one generator a seed, on the CPU: the same on every machine."""
        rows = [torch.randn(self.latent_shape(), generator=generator(seed)) for seed in seeds]
        return torch.stack(rows).to(self.device)

    # -- pictures ----------------------------------------------------------------------------------------

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

        ``prompts`` are texts, or prompt embeddings [b, l, d]. ``guidance_scale``: one a prompt, instead of
        the sampling's. Computed in the sampling's precision, whatever training computes in. Raises
        :class:`UserError` where seeds or guidance scales are not as many as prompts.
        """
        if self.dtype != (dtype := DTYPES[sampling.precision]):
            other = self.in_precision(dtype)
            return other.generate(prompts, seeds, sampling, batch, callback, guidance_scale)
        scales = list(guidance_scale or [sampling.guidance_scale] * len(prompts))
        for name, values in (("seeds", seeds), ("guidance scales", scales)):
            if len(values) != len(prompts):
                raise UserError(f"{len(prompts)} prompts but {len(values)} {name}; one for each is needed")
        whose = self if sampling.unconditional == "own" else self.original
        pipeline, empty = copy.copy(self.pipeline), whose.unconditional()
        pipeline.scheduler = make_sampler(sampling.sampler, self.scheduler.config)
        pictures: dict[int, Tensor] = {}
        with self.autocast(), compiled_unet(pipeline) if sampling.compiled else nullcontext():
            for scale, part in batches(scales, min(batch, self.micro_batch or batch)):
                if isinstance(prompts, Tensor):
                    embeds = prompts[part]
                else:
                    embeds = self.encode_prompts([prompts[i] for i in part], batch)
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
        vae, size = self.pipeline.vae, self.micro_batch or len(images)
        parts = ((2 * part - 1).to(self.device, vae.dtype) for part in images.split(size))
        means = torch.cat([vae.encode(part).latent_dist.mean for part in parts])
        return means * vae.config.scaling_factor

    @torch.no_grad()
    def decode_latents(self, latents: Tensor, batch: int = 64) -> Tensor:
        """Pictures in [0, 1] of scaled latents z_0."""
        vae, size = self.pipeline.vae, min(batch, self.micro_batch or batch)
        parts = [vae.decode(z.to(vae.dtype) / vae.config.scaling_factor).sample for z in latents.split(size)]
        return (torch.cat(parts).float().cpu() / 2 + 0.5).clamp(0, 1)
