"""What a user imports: erase a concept, attack the erased model, measure it, draw with it.

Without options each does what the paper does on a model of Stable Diffusion's size, and what the pocket
profile does on a small one: iterations, learning rates, attack budgets and samplers are those of the profile
that suits the model. Each makes a specification (``erasure_spec``, ``attack_spec``, ``quality_spec``) as the
tables do, and runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from advunlearn_lib.attacks.records import AttackResult
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.registry import code_of
from advunlearn_lib.base.seeds import check_seed
from advunlearn_lib.base.views import Pictures
from advunlearn_lib.diffusion.device import DTYPES
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.pictures import generate_pictures
from advunlearn_lib.diffusion.prompts import EvaluationPrompt, Judge
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.diffusion.token_edit import check_words
from advunlearn_lib.experiment import resolve
from advunlearn_lib.experiment.attack_spec import AttackSpec, JudgeSpec
from advunlearn_lib.experiment.erasure_spec import Erased, ErasureSpec, load_erased
from advunlearn_lib.experiment.picture_specs import QualitySpec
from advunlearn_lib.experiment.resolve import profile_of
from advunlearn_lib.metrics.asr import attack_success_rate
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.metrics.judges import load_judge
from advunlearn_lib.profiles.schema import Concept, Kind

__all__ = [
    "AttackSpec",
    "Erased",
    "ErasureSpec",
    "EvaluationPrompt",
    "LatentDiffusion",
    "QualitySpec",
    "Sampling",
    "attack",
    "attack_spec",
    "erase",
    "erasure_spec",
    "evaluate",
    "generate",
    "load_clip",
    "load_erased",
    "load_judge",
    "load_model",
    "quality_spec",
    "success_rates",
]
Prompts = Sequence[str] | Sequence[EvaluationPrompt]
BATCH = 8  # pictures, and prompts under attack, at once


def with_seeds(prompts: Prompts) -> list[EvaluationPrompt]:
    """Prompts with seeds: texts get the seeds 0, 1, ..."""
    asked: Sequence[str | EvaluationPrompt] = prompts
    return [EvaluationPrompt(p, seed) if isinstance(p, str) else p for seed, p in enumerate(asked)]


def erasure_spec(
    model: LatentDiffusion,
    concept: str | Sequence[str],
    method: str = "advunlearn",
    kind: Kind = "broad",
    retain_set: Sequence[str] = (),
    surrogate: str = "",
    names: Sequence[str] = (),
    remain_prompts: Sequence[str] = (),
    seed: int = 0,
    **options: Any,
) -> ErasureSpec:
    """How :func:`erase` would erase ``concept``, with every option that it would use."""
    prompts = (concept,) if isinstance(concept, str) else tuple(concept)
    check_words(prompts)
    words = tuple(names) or tuple(sorted(prompts, key=len)[:1])
    meant = Concept(
        name=words[0] if words else "",
        paper="",
        kind=resolve.check_kind(kind),
        erase=prompts,
        names=words,
        surrogate=surrogate,
        remain_prompts=tuple(remain_prompts),
    )
    precision = next(name for name, dtype in DTYPES.items() if dtype == model.dtype)
    profile = profile_of(model).model_copy(update={"seed": check_seed(seed), "precision": precision})
    usual = resolve.usual_options(profile, method, kind, str(options.get("component", "")))
    filled = resolve.method_options(profile, method, meant, usual, options)
    return resolve.erasure_spec(profile, method, filled, meant, retain_set)


def erase(
    model: LatentDiffusion,
    concept: str | Sequence[str],
    method: str = "advunlearn",
    kind: Kind = "broad",
    retain_set: Sequence[str] = (),
    surrogate: str = "",
    names: Sequence[str] = (),
    remain_prompts: Sequence[str] = (),
    seed: int = 0,
    **options: Any,
) -> Erased:
    """Erase ``concept``, one prompt that names it or several, from ``model``, which is left untouched.

    ``kind``: "broad" (a category, as nudity), "style" or "object", whose settings the paper has; ``options``,
    those of the method's ``OPTIONS``, change them. ``surrogate`` is the prompt whose picture should come
    instead, for methods that relabel, and ``remain_prompts`` (default: the retain set) are those whose
    pictures they keep; ``names`` are the concept's own words within its prompts (default: the shortest
    prompt), for FMN and AC. Raises :class:`UserError` for an unknown method, option or value, a prompt
    without tokens, or a list that the method needs and was not given.
    """
    spec = erasure_spec(
        model, concept, method, kind, retain_set, surrogate, names, remain_prompts, seed, **options
    )
    return spec.run(model)


def generate(
    model: LatentDiffusion, prompts: Prompts, sampling: Sampling | None = None, batch: int = BATCH
) -> Pictures:
    """Pictures [n, 3, h, w] in [0, 1] of texts, or of prompts with their own seeds and guidance scales.

    Texts get the seeds 0, 1, ... The tensor is one that a notebook shows as pictures.
    """
    asked, sampling = with_seeds(prompts), sampling or resolve.sampling_of(profile_of(model))
    with tqdm(total=len(asked), desc="pictures", leave=False) as bar:
        images = generate_pictures(
            model, asked, sampling, batch=batch, callback=lambda done: bar.update(done - bar.n)
        )
    return Pictures.of(images)


def attack_spec(
    model: LatentDiffusion,
    attack: str = "UnlearnDiffAtk",
    kind: Kind = "broad",
    sampling: Sampling | None = None,
    judge: JudgeSpec | None = None,
    seed: int = 0,
    **budget: Any,
) -> AttackSpec:
    """How :func:`attack` would attack, with the whole budget that it would use."""
    profile = profile_of(model)
    concept = resolve.nameless(profile, kind)
    filled = resolve.attack_budget(profile, attack, concept, budget)
    prompts = resolve.judged_prompts(profile, sampling, judge)
    return AttackSpec(
        attack=attack, budget=filled, prompts=prompts, seed=check_seed(seed), code=code_of(ATTACKS[attack])
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
    kind: Kind = "broad",
    **budget: Any,
) -> AttackResult:
    """Attack ``model``; ``original``, the model before erasing, draws the pictures that the attack aims at.

    ``judge``: pictures [b, 3, h, w] in [0, 1] -> bool [b]. ``sampling``: of judged pictures. ``clip``:
    (CLIPModel, processor), PEZ and PH2P. ``kind``: of concept, as in :func:`erase`. ``budget``: fields of the
    attack's ``BUDGET`` (tokens, timesteps, steps, lr, ...). On a model of full size prompts of more than 60
    tokens are judged and not attacked, as in the paper. Raises :class:`UserError` for an unknown attack, kind
    or budget, or a prompt too long, before anything is drawn.
    """
    spec = attack_spec(model, attack, kind, sampling, seed=seed, **budget)
    chosen = spec.prompts.choose(with_seeds(prompts), model, None, batch)
    return spec.run(spec.on(model, judge, original, clip, batch), chosen)


def success_rates(result: AttackResult) -> dict[str, Estimate]:
    """ASR and pre-ASR (success without attack) of an attack, in %, with Wilson intervals."""
    asr, pre_asr = attack_success_rate(result.prompts)
    return {"pre-ASR (%)": pre_asr, "ASR (%)": asr}


def quality_spec(model: LatentDiffusion, sampling: Sampling | None = None, seed: int = 0) -> QualitySpec:
    """How :func:`evaluate` would draw the pictures that it measures."""
    return QualitySpec(
        sampling=sampling or resolve.quality_sampling(profile_of(model)), seed=check_seed(seed)
    )


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
    """CLIP score and FID of the pictures that ``model`` makes of ``captions``.

    ``clip``, with a model and its processor; ``fid``, with ``features`` (an ``Inception`` or a
    ``Classifier``) and ``reference``, its features of real pictures. Raises :class:`UserError` for a number
    of captions that the CLIP score does not take.
    """
    spec = quality_spec(model, sampling, seed)
    return spec.run(model, with_seeds(captions), clip, features, reference, batch)
