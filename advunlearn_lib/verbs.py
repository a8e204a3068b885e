"""The library's verbs on a model of one's own: attack, evaluate, generate (``erase`` is in ``erasure``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.attacks import ATTACKS, AttackedPrompt, AttackResult, Budget, Judge
from advunlearn_lib.attacks.base import draw
from advunlearn_lib.errors import choose, validated
from advunlearn_lib.metrics.asr import Estimate, attack_success_rate
from advunlearn_lib.metrics.clip_score import clip_scores, mean_clip_score
from advunlearn_lib.metrics.fid import Statistics, frechet_distance
from advunlearn_lib.model import LatentDiffusion, Sampling
from advunlearn_lib.progress import tqdm

Prompts = Sequence[str | AttackedPrompt] | Sequence[str] | Sequence[AttackedPrompt]


def as_prompts(prompts: Prompts) -> list[AttackedPrompt]:
    """Prompts with seeds: texts get the seeds 0, 1, ..."""
    return [p if isinstance(p, AttackedPrompt) else AttackedPrompt(p, seed) for seed, p in enumerate(prompts)]


def generate(model: LatentDiffusion, prompts: Prompts, sampling: Sampling | None = None, batch: int = 8) -> Tensor:
    """Pictures [n, 3, h, w] in [0, 1] of texts, or of prompts with their own seeds and guidance scales."""
    asked, made = as_prompts(prompts), sampling or Sampling("lms", 50, 7.5)
    parts = tqdm(range(0, len(asked), batch), desc="pictures", leave=False)
    return torch.cat([draw(model, asked[start : start + batch], made) for start in parts])


def attack(
    model: LatentDiffusion,
    prompts: Prompts,
    judge: Judge,
    attack: str = "UnlearnDiffAtk",
    original: LatentDiffusion | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
    clip: tuple[Any, Any] | None = None,
    **budget: Any,
) -> AttackResult:
    """Attack ``model`` on ``prompts``; ``original``, the model before erasing, draws the pictures that the attack aims at.

    ``judge``: pictures [b, 3, h, w] in [0, 1] -> bool [b]. ``budget``: fields of :class:`Budget` (tokens, timesteps, steps,
    lr, ...). Raises :class:`UserError` for an unknown attack or budget, or a prompt too long.
    """
    kind = ATTACKS[choose("attack", attack, ATTACKS)]
    asked, made, aim = as_prompts(prompts), sampling or Sampling("lms", 50, 7.5), original or model
    filled = validated("budget", Budget, budget)
    pictures = generate(aim, asked, made, filled.batch)
    targets = torch.cat([aim.encode_images(part) for part in pictures.split(filled.batch)])
    return kind(model, judge, filled, made, seed, aim, clip).run(asked, targets)


def evaluate(
    model: LatentDiffusion,
    captions: Prompts,
    clip: tuple[Any, Any] | None = None,
    features: Any = None,
    reference: Tensor | Statistics | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> dict[str, Estimate]:
    """CLIP score (with ``clip``, a model and its processor) and FID (with ``features``, an ``Inception`` or ``Classifier``,
    and ``reference``, its features of real pictures) of the pictures that ``model`` makes of ``captions``."""
    asked = as_prompts(captions)
    images, found = generate(model, asked, sampling), {}
    if clip is not None:
        scores = clip_scores(clip, images, [prompt.text for prompt in asked])
        found["clip"] = mean_clip_score(scores, len(asked), seed)
    if features is not None and reference is not None:
        found["fid"] = frechet_distance(reference, features.features(images), seed=seed)
    return found


def rates(result: AttackResult) -> dict[str, Estimate]:
    """ASR and pre-ASR of an attack, with Wilson intervals."""
    asr, pre_asr = attack_success_rate(result.prompts)
    return {"pre-ASR (%)": pre_asr, "ASR (%)": asr}
