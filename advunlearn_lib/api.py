"""What a user imports: erase a concept, attack the erased model, measure it, draw with it.

Without options each does what the paper does on a model of Stable Diffusion's
size, and what the pocket profile does on a small one: iterations, learning
rates, attack budgets and samplers are those of the profile that suits the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from torch import Tensor

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.pictures import generate_pictures, target_latents
from advunlearn_lib.attacks.records import AttackResult, Budget, EvaluationPrompt, Judge
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import choose, validated
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import Erased, check_options, check_task, prepare, train
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.metrics.asr import attack_success_rate
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.metrics.judges import load_judge
from advunlearn_lib.metrics.quality import measure_quality
from advunlearn_lib.profiles.load import profile_for
from advunlearn_lib.profiles.schema import COMPONENTS, Kind, Profile

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


def profile_of(model: LatentDiffusion) -> Profile:
    """The profile whose settings suit a model of this size."""
    return profile_for(model.latent_shape()[-1])


def default_sampling(model: LatentDiffusion) -> Sampling:
    """How pictures of ``model`` are made: the paper's 50 steps of LMS at full size."""
    profile = profile_of(model)
    return Sampling(profile.sampler, profile.sampling_steps, profile.guidance_scale)


def default_options(model: LatentDiffusion, method: str, kind: Kind, component: str = "") -> dict[str, Any]:
    """The method's options for a model of this size and a concept of this ``kind``.

    Where the paper has no such pair, those for another kind; where it has none at all, the method's own
    defaults. Raises :class:`UserError` for an unknown method, component or kind.
    """
    chosen = METHODS[choose("method", method, METHODS)]
    component = component or chosen.OPTIONS.model_fields["component"].default
    choose("component", component, LatentDiffusion.PARTS)
    choose("kind", kind, get_args(Kind))
    rows = {
        key.kind: settings.options
        for key, settings in profile_of(model).methods.items()
        if key.method == chosen.LABEL and COMPONENTS[key.component] == component
    }
    return {"component": component} | rows.get(kind, next(iter(rows.values()), {}))


def default_budget(model: LatentDiffusion, attack: str) -> dict[str, Any]:
    """How hard ``attack`` tries on a model of this size. Raises :class:`UserError` for an unknown attack."""
    choose("attack", attack, ATTACKS)
    profile = profile_of(model)
    usual = {"timesteps": profile.attack_timesteps, "steps": profile.attack_steps, "lr": profile.attack_lr}
    return usual | profile.attacks.get(attack, {})


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
    **budget: Any,
) -> Attack:
    """The attack by its name, with the budget that suits the model where ``budget`` does not say otherwise.

    Raises :class:`UserError` for an unknown attack or budget, or where it lacks something.
    """
    choose("attack", attack, ATTACKS)
    validated("budget", Budget, budget)
    filled = validated("budget", Budget, default_budget(model, attack) | budget)
    return ATTACKS[attack](
        model, judge, filled, sampling or default_sampling(model), seed, original or model, clip, batch
    )


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
    **budget: Any,
) -> AttackResult:
    """Attack ``model``; ``original``, the model before erasing, draws the pictures that the attack aims at.

    ``judge``: pictures [b, 3, h, w] in [0, 1] -> bool [b]. ``clip``: (CLIPModel, processor), PEZ and PH2P.
    ``budget``: fields of :class:`Budget` (tokens, timesteps, steps, lr, ...). Raises :class:`UserError` for
    an unknown attack or budget, or a prompt too long, before anything is drawn.
    """
    asked = with_seeds(prompts)
    run = make_attack(model, judge, attack, original, sampling, seed, clip, batch, **budget)
    run.check_prompts(asked)
    aim = original or model
    return run.run(asked, target_latents(aim, asked, run.sampling, batch))


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
    chosen = sampling or default_sampling(model)
    return measure_quality(model, with_seeds(captions), chosen, clip, features, reference, batch, seed)


def check_erasure_task(method: str, task: Task, options: dict[str, Any]) -> None:
    """:class:`UserError` where the method lacks something of the task, or a prompt does not fit."""
    check_task(method, task, check_options(method, options))
