"""``--set tier=preview``: the shape of a table for a small part of its price, marked in every stamp.

A thousand pictures behind FID, 25 DPM++ steps a picture, 40 prompts, a quarter of each attack's budget:
its gradient steps where it has one round, else its rounds. Trainings are the protocol's own.
"""

from __future__ import annotations

from typing import Any

from advunlearn_lib.profiles.schema import Profile

PICTURES, STEPS, PROMPTS = 1000, 25, 40
SHARE = 4  # a quarter of an attack


def preview(profile: Profile) -> dict[str, Any]:
    """What the tier changes of ``profile``; nothing gets larger by it."""
    shorter = {key: quarter(budget) for key, budget in profile.attacks.items()}
    steps = min(profile.sampling_steps, STEPS)
    return {
        "tier": "preview",
        "fid_images": min(profile.fid_images, PICTURES),
        "sampler": "dpm++",
        "sampling_steps": steps,
        "quality_steps": min(profile.quality_steps, STEPS),
        "target_steps": min(profile.target_steps, STEPS),
        "prompts": min(profile.prompts, PROMPTS),
        "attack_timesteps": max(1, profile.attack_timesteps // SHARE),
        "attacks": shorter,
    }


def quarter(budget: dict[str, Any]) -> dict[str, Any]:
    """A budget of one round with a quarter of its steps; others take their rounds from the profile."""
    if budget.get("timesteps") == 1 and "steps" in budget:
        return budget | {"steps": max(1, budget["steps"] // SHARE)}
    return budget
