"""Noise schedules and samplers: what the model was trained on, and how pictures are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.settings import MOST_STEPS, STRONGEST, Precision
from advunlearn_lib.diffusion.classes import class_named
from advunlearn_lib.diffusion.device import DTYPES

SAMPLERS = {
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "lms": "LMSDiscreteScheduler",
}

NOISE = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    "prediction_type",
)
"""What a scheduler's configuration says of the model: its training noise, and what its UNet predicts."""

Unconditional = Literal["own", "original"]
"""Whose text encoder encodes guidance's empty prompt: the model's own, or that of the model it came from.

Training a text encoder moves "" too, and guidance with it. The official evaluation uses the model's own.
"""


@dataclass(frozen=True)
class Sampling:
    """How pictures are made: ``steps`` denoising steps under guidance.

    ``sampler`` is one of ddim, dpm++, lms; ``precision``, fp32 or bf16, is what the networks compute
    in, for pictures and for attacks that are judged by them; ``compiled``: the UNet is, for both.
    Raises :class:`UserError` for another sampler or precision, and for numbers out of range.
    """

    sampler: str
    steps: int
    guidance_scale: float
    unconditional: Unconditional = "own"
    precision: Precision = "fp32"
    compiled: bool = False

    def __post_init__(self) -> None:
        """Check."""
        choose("sampler", self.sampler, SAMPLERS)
        choose("precision", self.precision, DTYPES)
        if not 1 <= self.steps <= MOST_STEPS:
            raise UserError(f"{self.steps} denoising steps are out of range (allowed: 1 to {MOST_STEPS})")
        check_guidance(self.guidance_scale)


def check_guidance(scale: float) -> float:
    """``scale``. Raises :class:`UserError` for one out of range, or no number."""
    if not 0 <= scale <= STRONGEST:
        raise UserError(f"guidance scale {scale} is out of range (allowed: 0 to {STRONGEST})")
    return scale


def training_alphas(scheduler: Any) -> Tensor:
    """abar_t [T] of the noise that the model was trained on, from the betas in its scheduler's configuration.

    Which sampler the folder names (Euler, LMS, ...) does not matter: those scale latents by their own sigmas.
    Raises :class:`UserError` for a schedule without betas (flow matching, EDM).
    """
    if "beta_schedule" not in scheduler.config:
        raise UserError(
            f"the scheduler {type(scheduler).__name__!r} has no betas: only models trained on discrete "
            "diffusion (DDPM) are supported"
        )
    return torch.as_tensor(class_named("DDPMScheduler").from_config(scheduler.config).alphas_cumprod)


def as_noise(prediction_type: str, output: Tensor, latents: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """The noise that a UNet's ``output`` says is in ``latents`` z_t.

    With ``signal`` sqrt(abar_t) and ``noise`` sqrt(1 - abar_t), by type of prediction:

        epsilon       itself
        v_prediction  signal v + noise z_t
        sample        (z_t - signal z_0) / noise

    Raises :class:`UserError` for an unknown type.
    """
    if prediction_type == "epsilon":
        return output
    if prediction_type == "v_prediction":
        return signal * output + noise * latents
    if prediction_type == "sample":
        return (latents - signal * output) / noise
    allowed = "epsilon, v_prediction, sample"
    raise UserError(f"unknown prediction type {prediction_type!r} (allowed: {allowed})")


def make_sampler(sampler: str, config: Any, **changes: Any) -> Any:
    """The scheduler of ``sampler`` on the model's schedule.

    Latents are never clipped to [-1, 1], as pixels would be. LMS has its own grid (linspace, no offset, no
    Karras) whatever the model's folder says of its sampler: the official evaluation builds it from betas.

    Raises :class:`UserError` for an unknown name.
    """
    cls = class_named(SAMPLERS[choose("sampler", sampler, SAMPLERS)])
    if (
        sampler == "ddim"
    ):  # DDIM's own defaults, where another scheduler's configuration is silent, are for pixels
        last = config.get("set_alpha_to_one", False)
        changes = {"clip_sample": False, "set_alpha_to_one": last} | changes
    if sampler == "lms":
        config = {name: config[name] for name in NOISE if name in config}
    return cls.from_config(config, **changes)


def batches(scales: Sequence[float], size: int) -> list[tuple[float, list[int]]]:
    """(scale, indices) in parts of at most ``size``: one guidance scale a call is all that pipelines take."""
    rows = {scale: [i for i, other in enumerate(scales) if other == scale] for scale in scales}
    return [
        (scale, row[start : start + size])
        for scale, row in rows.items()
        for start in range(0, len(row), size)
    ]
