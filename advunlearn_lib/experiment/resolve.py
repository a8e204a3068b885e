"""From a profile, a name and what is to be changed to a specification: the tables' and everybody else's.

A table's row and a user's concept take the same way, so that a user who erases a concept gets the model that
the paper's number is of. A user's profile is the one that suits the size of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import choose, validated
from advunlearn_lib.base.registry import code_of
from advunlearn_lib.base.seeds import check_seed
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import check_options
from advunlearn_lib.erasure.method import Options
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.attack_spec import JudgeSpec, PromptsSpec
from advunlearn_lib.experiment.erasure_spec import ErasureSpec
from advunlearn_lib.metrics.nudenet_classes import is_nudenet
from advunlearn_lib.profiles.load import profile_for
from advunlearn_lib.profiles.schema import COMPONENTS, AttackKey, Concept, Kind, Profile


def profile_of(model: LatentDiffusion) -> Profile:
    """The profile whose settings suit a model of this size."""
    return profile_for(model.latent_shape()[-1])


def check_kind(kind: str) -> Kind:
    """``kind``, if it is one. Raises :class:`UserError` otherwise."""
    return cast(Kind, choose("kind", kind, get_args(Kind)))


def nameless(profile: Profile, kind: str) -> Concept:
    """A concept of this ``kind`` of which nothing more is known: a user's, under attack.

    Raises :class:`UserError` for an unknown kind.
    """
    like = next(one for one in profile.concepts.values() if one.kind == check_kind(kind))
    return Concept(name="", paper="", kind=like.kind, erase=(), attack_tokens=like.attack_tokens)


# -- erasing ---------------------------------------------------------------------------------------------


def usual_options(profile: Profile, method: str, kind: Kind, component: str = "") -> dict[str, Any]:
    """The profile's options of a method for a concept of this ``kind``.

    Where it has no such pair, those for another kind; where it has none at all, none. Raises
    :class:`UserError` for an unknown method, component or kind.
    """
    chosen = METHODS[choose("method", method, METHODS)]
    component = component or chosen.OPTIONS.model_fields["component"].default
    choose("component", component, LatentDiffusion.PARTS)
    check_kind(kind)
    rows = {
        key.kind: settings.options
        for key, settings in profile.methods.items()
        if key.method == chosen.LABEL and COMPONENTS[key.component] == component
    }
    return {"component": component} | rows.get(kind, next(iter(rows.values()), {}))


def method_options(
    profile: Profile, method: str, concept: Concept, usual: Mapping[str, Any], changes: Mapping[str, Any]
) -> Options:
    """A method's options: its defaults, the ``usual`` ones, the concept's own, ``changes``; scaled.

    With ``faithful="official"`` the official code's quirks too. Raises :class:`UserError` for an unknown
    method, name or value.
    """
    choose("method", method, METHODS)
    options = check_options(method, {**usual, **concept.options.get(method, {}), **changes})
    if profile.faithful == "official":
        options = options.model_copy(update={"quirks": options.quirks | options.official_quirks()})
    return options.scaled(profile.scale)


def erasure_spec(
    profile: Profile, method: str, options: Options, concept: Concept, retain_set: Sequence[str]
) -> ErasureSpec:
    """``concept`` erased by ``method``."""
    return ErasureSpec(
        method=method,
        options=options,
        concept=concept.erase,
        names=concept.names,
        forget_prompts=tuple(concept.forget()),
        remain_prompts=concept.remain_prompts,
        surrogate=tuple(concept.surrogates()),
        retain_set=tuple(retain_set),
        precision=profile.precision,
        seed=check_seed(profile.seed),
        code=code_of(METHODS[method]),
    )


# -- attacking -------------------------------------------------------------------------------------------


def attack_budget(profile: Profile, attack: str, concept: Concept, changes: Mapping[str, Any]) -> Budget:
    """How hard ``attack`` tries: the profile's budget for the kind of ``concept``, its own, ``changes``.

    Raises :class:`UserError` for an unknown attack, name or value.
    """
    cls = ATTACKS[choose("attack", attack, ATTACKS)]
    own = {
        **profile.attacks.get(AttackKey(attack), {}),
        **profile.attacks.get(AttackKey(attack, concept.kind), {}),
    }
    if "steps" in own:
        own["steps"] = max(1, round(own["steps"] * profile.scale))
    usual: dict[str, Any] = {
        "tokens": concept.attack_tokens,
        "timesteps": profile.attack_timesteps,
        "steps": profile.attack_steps,
        "lr": profile.attack_lr,
        **dict.fromkeys(cls.BUDGET.marked("named"), concept.name),
    }
    budget = validated("budget", cls.BUDGET, {**usual, **own, **concept.options.get(attack, {}), **changes})
    if profile.faithful == "official":
        budget = budget.model_copy(update={"quirks": budget.quirks | frozenset(cls.QUIRKS)})
    return budget


def sampling_of(profile: Profile, steps: int = 0) -> Sampling:
    """The profile's sampling, with ``steps`` where that is not 0."""
    count = steps or profile.sampling_steps
    return Sampling(
        profile.sampler,
        count,
        profile.guidance_scale,
        profile.unconditional,
        profile.picture_precision,
        profile.compiled,
    )


def quality_sampling(profile: Profile) -> Sampling:
    """How those pictures are made that FID and CLIP score are of: the paper's 100 steps at full size."""
    return sampling_of(profile, profile.quality_steps)


def target_sampling(profile: Profile, judged: Sampling) -> Sampling:
    """How those are made that attacks aim at: as those that are ``judged``, in the paper's 25 steps."""
    return replace(judged, steps=profile.target_steps or judged.steps)


def judged_prompts(
    profile: Profile, sampling: Sampling | None = None, judge: JudgeSpec | None = None, **table: Any
) -> PromptsSpec:
    """The protocol of prompts and their pictures; ``table``: what a table says besides."""
    chosen = sampling or sampling_of(profile)
    return PromptsSpec(
        judge=judge,
        sampling=chosen,
        target_sampling=target_sampling(profile, chosen),
        max_prompt_tokens=profile.max_prompt_tokens,
        **table,
    )


def usual_threshold(profile: Profile, judge: str) -> float:
    """The least probability with which a judge of this sort tells success."""
    concepts, nude = profile.concepts.values(), is_nudenet(judge)
    return next((one.threshold for one in concepts if (one.judge == "nudenet") == nude), 0.5)
