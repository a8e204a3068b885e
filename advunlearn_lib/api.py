"""What a user imports: erase a concept, attack the erased model, measure it, draw with it.

Without options each does what the paper does on a model of Stable Diffusion's
size, and what the pocket profile does on a small one: iterations, learning
rates, attack budgets and samplers are those of the profile that suits the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.pictures import generate_pictures, target_latents
from advunlearn_lib.attacks.records import AttackResult, Budget, EvaluationPrompt, Judge
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import choose, validated
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.seeds import check_seed
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.diffusion.token_edit import check_words
from advunlearn_lib.erasure.loop import Erased, check_options, check_task, prepare, train
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment.choose_prompts import exempt_long
from advunlearn_lib.experiment.defaults import (
    default_budget,
    default_options,
    default_sampling,
    profile_of,
    quality_sampling,
    target_sampling,
)
from advunlearn_lib.metrics.asr import attack_success_rate
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.metrics.judges import load_judge
from advunlearn_lib.metrics.quality import measure_quality
from advunlearn_lib.profiles.schema import Kind

__all__ = [
    "Erased",
    "EvaluationPrompt",
    "LatentDiffusion",
    "Sampling",
    "attack",
    "erase",
    "evaluate",
    "generate",
    "load_clip",
    "load_judge",
    "load_model",
    "success_rates",
]
Prompts = Sequence[str] | Sequence[EvaluationPrompt]
BATCH = 8  # pictures, and prompts under attack, at once


def with_seeds(prompts: Prompts) -> list[EvaluationPrompt]:
    """Prompts with seeds: texts get the seeds 0, 1, ..."""
    asked: Sequence[str | EvaluationPrompt] = prompts
    return [EvaluationPrompt(p, seed) if isinstance(p, str) else p for seed, p in enumerate(asked)]


def erasure_task(
    model: LatentDiffusion,
    concept: str | Sequence[str],
    retain_set: Sequence[str] = (),
    surrogate: str = "",
    names: Sequence[str] = (),
    remain_prompts: Sequence[str] = (),
    anchors: Sequence[str] = (),
    seed: int = 0,
) -> Task:
    """What is to be erased. Without ``names`` the concept's words are the shortest of its prompts."""
    prompts = [concept] if isinstance(concept, str) else list(concept)
    check_words(prompts)
    check_seed(seed)
    words = list(names) or sorted(prompts, key=len)[:1]
    return Task(
        model,
        prompts,
        retain_set=list(retain_set),
        surrogate=[surrogate] * len(prompts) if surrogate else [],
        names=words,
        remain_prompts=list(remain_prompts),
        anchors=list(anchors),
        seed=seed,
    )


def erase(
    model: LatentDiffusion,
    concept: str | Sequence[str],
    method: str = "advunlearn",
    kind: Kind = "broad",
    retain_set: Sequence[str] = (),
    surrogate: str = "",
    names: Sequence[str] = (),
    remain_prompts: Sequence[str] = (),
    anchors: Sequence[str] = (),
    seed: int = 0,
    **options: Any,
) -> Erased:
    """Erase ``concept``, one prompt that names it or several,
    from ``model`` (left untouched); the erased model.

    ``kind``: "broad" (a category, as nudity), "style" or "object", whose settings the paper has; ``options``,
    those of the method's ``OPTIONS``, change them. ``surrogate`` is the prompt whose picture should come
    instead, for methods that relabel, and ``remain_prompts`` (default: the retain set) are those whose
    pictures they keep; ``anchors`` are prompts without the style, for AC; ``names`` are the concept's own
    words within its prompts, for FMN and AC.
    Raises :class:`UserError` for an unknown method, option or value, a prompt without tokens, or a list that
    the method needs and was not given.
    """
    filled = check_erasure(model, method, kind, options)
    task = erasure_task(model, concept, retain_set, surrogate, names, remain_prompts, anchors, seed)
    return train(prepare(method, task, filled), seed)


def check_erasure(model: LatentDiffusion, method: str, kind: Kind, options: dict[str, Any]) -> dict[str, Any]:
    """All options of an erasure. Raises :class:`UserError` for an unknown method, name or value."""
    choose("method", method, METHODS)
    validated("option", METHODS[method].OPTIONS, options)  # alone first: messages are about these
    usual = default_options(model, method, kind, str(options.get("component", "")))
    return check_options(method, usual | options).model_dump()


def generate(
    model: LatentDiffusion, prompts: Prompts, sampling: Sampling | None = None, batch: int = BATCH
) -> Tensor:
    """Pictures [n, 3, h, w] in [0, 1] of texts (seeds 0, 1,
    ...), or of prompts with their own seeds and scales.
    """
    asked, sampling = with_seeds(prompts), sampling or default_sampling(model)
    with tqdm(total=len(asked), desc="pictures", leave=False) as bar:
        return generate_pictures(
            model, asked, sampling, batch=batch, callback=lambda done: bar.update(done - bar.n)
        )


def make_attack(
    model: LatentDiffusion,
    judge: Judge,
    attack: str = "UnlearnDiffAtk",
    original: LatentDiffusion | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
    clip: tuple[Any, Any] | None = None,
    batch: int = BATCH,
    kind: Kind = "broad",
    **budget: Any,
) -> Attack:
    """The attack by its name, with the budget that suits the model where ``budget`` does not say otherwise.

    It computes in fp32. Raises :class:`UserError` for an unknown attack, kind or budget, or where it lacks
    something.
    """
    choose("attack", attack, ATTACKS)
    check_seed(seed)
    validated("budget", Budget, budget)
    filled = validated("budget", Budget, default_budget(model, attack, kind) | budget)
    after, before = exact(model), exact(original or model)
    return ATTACKS[attack](
        after, judge, filled, sampling or default_sampling(model), seed, before, clip, batch
    )


def exact(model: LatentDiffusion) -> LatentDiffusion:
    """The same in fp32, whatever training computes in."""
    return model if model.dtype == torch.float32 else model.in_precision(torch.float32)


def attack(
    model: LatentDiffusion,
    prompts: Prompts,
    judge: Judge,
    attack: str = "UnlearnDiffAtk",
    original: LatentDiffusion | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
    clip: tuple[Any, Any] | None = None,
    batch: int = BATCH,
    kind: Kind = "broad",
    **budget: Any,
) -> AttackResult:
    """Attack ``model``; ``original``, the model before erasing, draws the pictures that the attack aims at.

    ``judge``: pictures [b, 3, h, w] in [0, 1] -> bool [b]. ``sampling``: of judged pictures. ``clip``:
    (CLIPModel, processor), PEZ and PH2P. ``kind``: of concept, as in :func:`erase`. ``budget``: fields of
    :class:`Budget` (tokens, timesteps, steps, lr, ...). On a model of full size prompts of more than 60
    tokens are judged and not attacked, as in the paper. Raises :class:`UserError` for an unknown attack, kind
    or budget, or a prompt too long, before anything is drawn.
    """
    run = make_attack(model, judge, attack, original, sampling, seed, clip, batch, kind, **budget)
    return run_attack(run, attack_prompts(model, prompts))


def attack_prompts(model: LatentDiffusion, prompts: Prompts) -> list[EvaluationPrompt]:
    """Prompts with seeds; those that the tables would not attack are exempt."""
    return exempt_long(with_seeds(prompts), model, profile_of(model).max_prompt_tokens)


def run_attack(run: Attack, prompts: Sequence[EvaluationPrompt]) -> AttackResult:
    """Each prompt's outcome. Raises :class:`UserError` for a prompt too long, before anything is drawn."""
    run.check_prompts(prompts)
    original, sampling = run.original or run.model, target_sampling(run.model, run.sampling)
    return run.run(prompts, target_latents(original, prompts, sampling, run.batch))


def success_rates(result: AttackResult) -> dict[str, Estimate]:
    """ASR and pre-ASR (success without attack) of an attack, in %, with Wilson intervals."""
    asr, pre_asr = attack_success_rate(result.prompts)
    return {"pre-ASR (%)": pre_asr, "ASR (%)": asr}


def evaluate(
    model: LatentDiffusion,
    captions: Prompts,
    clip: tuple[Any, Any] | None = None,
    features: Any = None,
    reference: Tensor | Statistics | None = None,
    sampling: Sampling | None = None,
    seed: int = 0,
    batch: int = BATCH,
) -> dict[str, Estimate]:
    """``clip``, CLIP score with a model and its processor, and ``fid``, with
    ``features`` (an ``Inception`` or a ``Classifier``) and ``reference``, its
    features of real pictures, of the pictures that ``model`` makes of captions.

    Raises :class:`UserError` for a number of captions that the CLIP score does not take.
    """
    check_seed(seed)
    chosen = sampling or quality_sampling(model)
    return measure_quality(model, with_seeds(captions), chosen, clip, features, reference, batch, seed)


def check_erasure_task(method: str, task: Task, options: dict[str, Any]) -> None:
    """:class:`UserError` where the method lacks something of the task, or a prompt does not fit."""
    check_task(method, task, check_options(method, options))
