"""A profile by its name, with what the user changed.

``./reproduce.sh table3 --set fid_images=200`` changes one
scalar field; unknown names and wrong types are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_origin

from advunlearn_lib.base.errors import UserError, choose, validated
from advunlearn_lib.diffusion import hub
from advunlearn_lib.profiles.paper import PAPER, PUBLISHED
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.preview import preview
from advunlearn_lib.profiles.schema import CheckpointKey, Profile

PROFILES = {"pocket": POCKET, "paper": PAPER}
QUICK = {
    "fid_images": 60,
    "prompts": 8,
    "attack_timesteps": 2,
    "attack_steps": 2,
    "scale": 0.05,
    "sampling_steps": 4,
    "quick": True,
}
FIXED = ("name", "source", "sprites", "seed", "quick", "select", "added")  # the seed has an option of its own
SETTABLE = tuple(
    name
    for name, field in Profile.model_fields.items()
    if name not in FIXED and get_origin(field.annotation) is not dict
)


def load_profile(
    name: str = "pocket", overrides: Sequence[str] = (), quick: bool = False, seed: int | None = None
) -> Profile:
    """The named profile with ``name=value`` overrides.

    Settings, ``checkpoint=WHAT``, ``bases=NAME=WHERE``, ``add=FILE``. Raises :class:`UserError` for what is
    unknown or out of range, and for folders that do not exist.
    """
    chosen = PROFILES[choose("profile", name, PROFILES)]
    changes: dict[str, Any] = preview(chosen) if "tier=preview" in overrides else {}
    changes |= QUICK if quick else {}
    changes |= {} if seed is None else {"seed": seed}
    for override in overrides:
        field, separator, value = override.partition("=")
        if not separator:
            raise UserError(f"--set takes name=value, not {override!r}")
        if field == "checkpoint":
            changes["checkpoints"] = changes.get("checkpoints", {}) | parse_checkpoint(value)
        elif field == "bases":
            changes["bases"] = changes.get("bases", chosen.bases) | parse_base(value, chosen)
        elif field == "add":
            changes["added"] = (*changes.get("added", ()), value)
        else:
            changes[choose("setting", field, SETTABLE)] = value
    profile = validated("setting", Profile, dict(chosen) | changes)
    if profile.added:
        from advunlearn_lib.profiles.added import with_added  # and torch

        profile = with_added(profile)
    hub.location(profile.base)
    for clip in (profile.clip, profile.attack_clip):
        hub.check_clip(clip)
    for name in ("judges", "prompts_dir", "reference"):
        if getattr(profile, name) and not Path(getattr(profile, name)).exists():
            raise UserError(f"setting {name}={getattr(profile, name)!r}: no such folder")
    if profile.detector and not (profile.detector.endswith(".onnx") and Path(profile.detector).is_file()):
        raise UserError(f"setting detector={profile.detector!r}: no such .onnx file")
    return profile


def parse_checkpoint(text: str) -> dict[CheckpointKey, str]:
    """``concept:method:component=WHERE``, or "published" for the authors' text encoders."""
    if text == "published":
        return dict(PUBLISHED)
    place, _, where = text.partition("=")
    parts = place.split(":")
    if len(parts) != len(CheckpointKey._fields) or not where:
        raise UserError(f"--checkpoint takes 'concept:method:component=WHERE' or 'published', not {text!r}")
    return {CheckpointKey(*parts): where}


def parse_base(text: str, profile: Profile) -> dict[str, str]:
    """``NAME=WHERE``: one of Table 8's base models, a folder or a hub id with its revision."""
    name, separator, where = text.partition("=")
    if not separator:
        raise UserError(f"--set bases takes NAME=WHERE, not {text!r}")
    hub.location(where)
    return {choose("base model", name, profile.bases): where}


def profile_for(latent_side: int) -> Profile:
    """Whose settings suit a model whose latents are ``latent_side`` wide: the paper's, or a small model's."""
    return PAPER if latent_side >= 32 else POCKET
