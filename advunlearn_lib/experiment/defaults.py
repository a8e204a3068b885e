"""What the tables do on a model of this size: the defaults
of the API and of the verbs, which so measure the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from advunlearn_lib.base.errors import choose
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.metrics.nudenet_classes import is_nudenet
from advunlearn_lib.profiles.load import profile_for
from advunlearn_lib.profiles.schema import COMPONENTS, Kind, Profile

OF_THE_CONCEPT = {"word", "initializer"}
"""What a table's budget says of its own concept: a user's is another."""


def profile_of(model: LatentDiffusion) -> Profile:
    """The profile whose settings suit a model of this size."""
    return profile_for(model.latent_shape()[-1])


def default_sampling(model: LatentDiffusion) -> Sampling:
    """How pictures of ``model`` are made: the paper's 50 steps of LMS at full size."""
    return Recipes(profile_of(model)).sampling


def quality_sampling(model: LatentDiffusion) -> Sampling:
    """How those are made that FID and CLIP score are of: the paper's 100 steps at full size."""
    return Recipes(profile_of(model)).quality_sampling


def target_sampling(model: LatentDiffusion, judged: Sampling) -> Sampling:
    """How those are made that attacks aim at: as those that are ``judged``, in the paper's 25 steps."""
    return replace(judged, steps=profile_of(model).target_steps or judged.steps)


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


def default_budget(model: LatentDiffusion, attack: str, kind: Kind = "broad") -> dict[str, Any]:
    """How hard ``attack`` tries on a model of this size and a concept of this ``kind``.

    Raises :class:`UserError` for an unknown attack or kind.
    """
    choose("kind", kind, get_args(Kind))
    profile = profile_of(model)
    concept = next(name for name, concept in profile.concepts.items() if concept.kind == kind)
    return Recipes(profile).budget(concept, attack).model_dump(exclude=OF_THE_CONCEPT)


def default_threshold(model: LatentDiffusion, judge: str) -> float:
    """The least probability with which a judge of this sort tells success."""
    concepts, nude = profile_of(model).concepts.values(), is_nudenet(judge)
    return next((one.threshold for one in concepts if (one.judge == "nudenet") == nude), 0.5)
