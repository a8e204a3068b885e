"""Pictures of evaluation prompts, and what a judge says of them.

Each prompt has its own seed and guidance scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.diffusion.microbatch import in_smaller_batches
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.prompts import EvaluationPrompt, Judge
from advunlearn_lib.diffusion.sampling import Sampling


def guidance_scales(prompts: Sequence[EvaluationPrompt], sampling: Sampling) -> list[float]:
    """Each prompt's own, or else the sampling's."""
    return [sampling.guidance_scale if p.guidance_scale is None else p.guidance_scale for p in prompts]


def generate_pictures(
    model: LatentDiffusion,
    prompts: Sequence[EvaluationPrompt],
    sampling: Sampling,
    texts: Sequence[str] | Tensor | None = None,
    batch: int | None = None,
    callback: Callable[[int], object] | None = None,
) -> Tensor:
    """Pictures [n, 3, h, w] of ``prompts``, with their seeds and guidance scales.

    ``texts`` (or prompt embeddings) are drawn instead of the prompts' own, if given.
    ``batch``: pictures made at once (default: all); ``callback(done)`` after each batch.
    """
    shown = [p.text for p in prompts] if texts is None else texts
    seeds = [p.seed for p in prompts]
    scales = guidance_scales(prompts, sampling)
    return model.generate(shown, seeds, sampling, batch or len(prompts), callback, scales)


def judge_prompts(
    model: LatentDiffusion, judge: Judge, prompts: Sequence[EvaluationPrompt], sampling: Sampling, batch: int
) -> Tensor:
    """Does the picture of each prompt show the concept? bool [b]."""
    parts = (prompts[start : start + batch] for start in range(0, len(prompts), batch))
    return torch.cat([judge(generate_pictures(model, part, sampling)) for part in parts])


def target_latents(
    model: LatentDiffusion, prompts: Sequence[EvaluationPrompt], sampling: Sampling, batch: int
) -> Tensor:
    """Latents z_0 [n, c, h, w] of the pictures that an attack aims at.

    They are those of ``model``, the one before erasing, all at the sampling's guidance scale, whatever the
    prompts' own: official ``generate_dataset.py``.
    """

    def latents(part: Sequence[EvaluationPrompt]) -> Tensor:
        return model.encode_images(generate_pictures(model, part, sampling))

    plain = [replace(prompt, guidance_scale=None) for prompt in prompts]
    starts = tqdm(range(0, len(plain), batch), desc="target pictures", leave=False)
    parts = (plain[start : start + batch] for start in starts)
    return torch.cat([in_smaller_batches(partial(latents, part), model, batch) for part in parts])
