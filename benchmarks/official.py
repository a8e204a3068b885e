r"""The official codes' way to train and to draw, plainly, on the same networks as the library's.

    ESD         || eps(z_t, t, T(c)) - [ eps_0(z_t, t, "") - eta ( eps_0(z_t, t, c) - eps_0(z_t, t, "") ) ] ||^2
    AdvUnlearn  the same at c + d, and gamma || eps(z_t, t, T(r)) - eps_0(z_t, t, r) ||^2 over retain prompts r;
                d moves K times against the gradient of || eps(z_t, t, T(c + d)) - eps_0(z_t, t, c) ||^2

z_t is sampled from new noise at every iteration and at every step of the attack, by guided DDIM of the current
UNet with the frozen embedding, down to a random step; the frozen model's answers at it are computed there and
then. One concept prompt at a time; an iteration's retain prompts are sampled together, at one t. Sources:
OPTML-Group/AdvUnlearn (``train-scripts/AdvUnlearn.py``, ``utils/attack_util.py``), rohitgandikota/erasing of 2023.

Left out, in the official codes' favour: activation checkpointing, gradients of UNet weights that nobody uses, a
frozen answer that the attack computes and never reads, loss curves drawn at every iteration, a second copy of
the model. Their slips (noise levels, the lost last update, ...) are left out on both sides.
"""  # noqa: E501

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.quiet import no_loading_bars
from advunlearn_lib.diffusion.sampling import Sampling, make_sampler
from advunlearn_lib.diffusion.soft_tokens import soft_tokens
from advunlearn_lib.erasure.advunlearn_options import AdvUnlearnOptions
from advunlearn_lib.erasure.esd import ESDOptions
from advunlearn_lib.erasure.parameters import select

Point = tuple[Tensor, Tensor, Tensor]
"""z_t [b, c, h, w], its timestep, the frozen embeddings [b, l, d] of its prompts."""


def load(folder: str, sampling: Sampling | None = None) -> Any:
    """The pipeline in fp32, drawing by ``sampling``; its attention is the fastest one for a small UNet."""
    no_loading_bars()
    parts: dict[str, Any] = {"safety_checker": None, "requires_safety_checker": False}
    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, **parts)
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.requires_grad_(False).eval()
    pipe.unet.set_attn_processor(AttnProcessor())
    if sampling is not None:
        pipe.scheduler = make_sampler(sampling.sampler, pipe.scheduler.config)
    return pipe


def with_unet(pipe: Any, unet: Any) -> Any:
    """The pipeline with another UNet."""
    changed = StableDiffusionPipeline(**pipe.components | {"unet": unet}, requires_safety_checker=False)
    changed.set_progress_bar_config(disable=True)
    return changed


def draw(pipe: Any, prompt: EvaluationPrompt, sampling: Sampling, embeds: Tensor | None = None) -> Tensor:
    """One picture [1, 3, h, w] in [0, 1] by a call of the pipeline, of ``embeds`` [1, l, d] if given."""
    shown = {"prompt": prompt.text} if embeds is None else {"prompt_embeds": embeds}
    made = pipe(
        **shown,
        generator=torch.Generator().manual_seed(prompt.seed),
        num_inference_steps=sampling.steps,
        guidance_scale=sampling.guidance_scale,
        output_type="pt",
    )
    return torch.as_tensor(made.images)


def token_ids(pipe: Any, prompts: list[str]) -> Tensor:
    """Ids [b, l], padded."""
    batch = pipe.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(batch.input_ids)


def embedded(text_encoder: Any, ids: Tensor, words: Tensor | None = None) -> Tensor:
    """Prompt embeddings [b, l, d] of ``ids``, or of token embeddings ``words`` in their place."""
    with soft_tokens(text_encoder, words):
        return torch.as_tensor(text_encoder(ids).last_hidden_state)


def prefixed(words: Tensor, d: Tensor) -> Tensor:
    """Token embeddings [1, l, d] of the start, ``d`` [1, k, d] and the rest, cut to length."""
    return torch.cat([words[:, :1], d, words[:, 1:]], 1)[:, : words.shape[1]]


@torch.no_grad()
def sample_till(
    unet: Any, config: Any, noise: Tensor, embeds: Tensor, empty: Tensor, options: ESDOptions, stop: int
) -> tuple[Tensor, Tensor]:
    """z_t after ``stop`` guided DDIM steps from ``noise`` [b, c, h, w], and its timestep."""
    scheduler = DDIMScheduler.from_config(config, clip_sample=False, set_alpha_to_one=False)
    scheduler.set_timesteps(options.steps)
    z, both = noise, torch.cat([empty.expand_as(embeds), embeds])
    for t in scheduler.timesteps[:stop]:
        blank, prompted = unet(torch.cat([z, z]), t, both).sample.chunk(2)
        z = scheduler.step(blank + options.guidance_scale * (prompted - blank), int(t), z).prev_sample
    return z, scheduler.timesteps[stop]


class ESD:
    """ESD on the UNet or on the text encoder of ``pipe``, whose own networks stay frozen."""

    def __init__(self, pipe: Any, concept: str, options: ESDOptions) -> None:
        self.pipe, self.concept, self.options = pipe, concept, options
        trained = copy.deepcopy(getattr(pipe, options.component))
        self.unet = trained if options.component == "unet" else pipe.unet
        self.text_encoder = trained if options.component == "text_encoder" else pipe.text_encoder
        self.trained = select(trained, options.component, options.group)
        for parameter in self.trained.values():
            parameter.requires_grad_(True)
        self.ids, self.empty = token_ids(pipe, [concept]), self.frozen_embeds([""])

    @torch.no_grad()
    def frozen_embeds(self, prompts: list[str]) -> Tensor:
        """The frozen text encoder's embeddings [b, l, d]."""
        return embedded(self.pipe.text_encoder, token_ids(self.pipe, prompts))

    @torch.no_grad()
    def frozen(self, z: Tensor, t: Tensor, embeds: Tensor) -> Tensor:
        """eps_0(z_t, t, c)."""
        return torch.as_tensor(self.pipe.unet(z, t, embeds.expand(len(z), -1, -1)).sample)

    def predict(self, z: Tensor, t: Tensor, embeds: Tensor) -> Tensor:
        """eps(z_t, t, c)."""
        return torch.as_tensor(self.unet(z, t, embeds).sample)

    def point(self, prompts: list[str], rng: torch.Generator) -> Point:
        """A new z_t of each prompt, all at one random t."""
        embeds, config = self.frozen_embeds(prompts), self.unet.config
        stop = int(torch.randint(self.options.steps, (1,), generator=rng))
        shape = (len(prompts), config.in_channels, config.sample_size, config.sample_size)
        noise = torch.randn(shape, generator=rng)
        schedule = self.pipe.scheduler.config
        return *sample_till(self.unet, schedule, noise, embeds, self.empty, self.options, stop), embeds

    def erase_loss(self, point: Point, embeds: Tensor) -> Tensor:
        """ESD's loss above at ``point``, where the current model sees ``embeds`` [1, l, d]."""
        z, t, own = point
        blank, prompted = self.frozen(z, t, self.empty), self.frozen(z, t, own)
        return F.mse_loss(self.predict(z, t, embeds), blank - self.options.eta * (prompted - blank))

    def loss(self, rng: torch.Generator) -> Tensor:
        """An iteration's loss."""
        return self.erase_loss(self.point([self.concept], rng), embedded(self.text_encoder, self.ids))

    def train(self, seed: int = 0) -> list[float]:
        """All iterations; their losses."""
        rng = torch.Generator().manual_seed(seed)
        adam, losses = torch.optim.Adam(self.trained.values(), self.options.lr), []
        for _ in range(self.options.iterations):
            loss = self.loss(rng)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        return losses


class AdvUnlearn(ESD):
    """AdvUnlearn: ESD at the attacked prompt, and the retain loss."""

    options: AdvUnlearnOptions

    def __init__(self, pipe: Any, concept: str, retain: list[str], options: AdvUnlearnOptions) -> None:
        super().__init__(pipe, concept, options)
        self.retain, self.unseen = retain, list[str]()

    def attack(self, next_point: Callable[[], Point], d: Tensor) -> Tensor:
        """Token embeddings [1, l, d] of c + d after K steps from ``d`` [1, k, d]."""
        words = self.text_encoder.get_input_embeddings().weight[self.ids].detach()
        for _ in range(self.options.attack_steps):
            z, t, own = next_point()
            wanted, d = self.frozen(z, t, own), d.detach().requires_grad_(True)
            embeds = embedded(self.text_encoder, self.ids, prefixed(words, d))
            (gradient,) = torch.autograd.grad(F.mse_loss(self.predict(z, t, embeds), wanted), d)
            step = gradient.sign() if self.options.attack_step == "sign" else gradient
            d = d - self.options.attack_lr * step
        return prefixed(words, d.detach())

    def retain_loss(self, prompts: list[str], point: Point) -> Tensor:
        """The retain loss above on ``prompts`` at ``point``."""
        z, t, own = point
        embeds = embedded(self.text_encoder, token_ids(self.pipe, prompts))
        return F.mse_loss(self.predict(z, t, embeds), self.frozen(z, t, own))

    def next_retained(self, rng: torch.Generator) -> list[str]:
        """The next retain prompts in random order; a new round begins where too few are left."""
        if len(self.unseen) < self.options.retain_batch:
            order = torch.randperm(len(self.retain), generator=rng).tolist()
            self.unseen = [self.retain[number] for number in order]
        chosen = self.unseen[: self.options.retain_batch]
        self.unseen = self.unseen[len(chosen) :]
        return chosen

    def loss(self, rng: torch.Generator) -> Tensor:
        """An iteration's loss, after its attack."""
        table = self.text_encoder.get_input_embeddings().weight
        size = (1, self.options.attack_tokens)
        d = table[torch.randint(len(table), size, generator=rng)].detach()
        words = self.attack(lambda: self.point([self.concept], rng), d)
        point = self.point([self.concept], rng)
        loss = self.erase_loss(point, embedded(self.text_encoder, self.ids, words))
        if self.options.retain_weight:
            prompts = self.next_retained(rng)
            kept = self.retain_loss(prompts, self.point(prompts, rng))
            loss = loss + self.options.retain_weight * kept
        return loss
