"""Cheaper inner attacks of AdvUnlearn: ours, for what the paper leaves to future work.

    attack_every = m    one iteration in m attacks; in the others a prompt's last d stands
    attack_points = n   each of the K steps goes down the mean loss over n points z_t
    attack_scheme       cheap: one step as far as the K that were asked for, from the prompt's last d
    free_attack         d  <-  d + rate * sign(grad_d L_ESD(theta, c + d)), by the upper level's backward:
                        no pass of its own (Shafahi et al., *Adversarial Training for Free!*, NeurIPS 2019)

``notebooks/beyond_attack_cost`` compares them, with K and with attacks that start from the last. A recipe
names an option here only where it is set, so that models trained before there were any keep their keys.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from advunlearn_lib.base.settings import marks
from advunlearn_lib.erasure.esd import ESDOptions


class CheaperAttackOptions(ESDOptions):
    """What makes AdvUnlearn's inner attack cheaper than K steps at each iteration."""

    attack_scheme: Literal["paper", "cheap"] = Field(
        "paper",
        description="cheap: one step as far as attack_steps of them, from the prompt's last attack",
        exclude_if=lambda scheme: scheme == "paper",
        json_schema_extra=marks(
            source="ours: the cheapest as robust as K = 30; costs a category CLIP score (beyond_attack_cost)"
        ),
    )
    attack_every: int = Field(
        1,
        ge=1,
        description="attack at every so many iterations; between them a prompt's last attack stands",
        exclude_if=lambda every: every == 1,
        json_schema_extra=marks(source="ours"),
    )
    attack_points: int = Field(
        1,
        ge=1,
        description="points z_t that a step of the attack sees at once",
        exclude_if=lambda points: points == 1,
        json_schema_extra=marks(at_once=True, source="ours"),
    )
    free_attack: bool = Field(
        False,
        description="free adversarial training: no inner attack, the loss's own gradient moves the tokens",
        exclude_if=lambda free: not free,
        json_schema_extra=marks(source="ours"),
    )

    @model_validator(mode="before")
    @classmethod
    def one_step(cls, given: Any) -> Any:
        """What "cheap" makes of the steps and the rate that are ``given``."""
        if not isinstance(given, dict) or given.get("attack_scheme") != "cheap":
            return given
        steps, lr = (
            given.get(name, cls.model_fields[name].default) for name in ("attack_steps", "attack_lr")
        )
        if not isinstance(steps, int) or not isinstance(lr, int | float):
            return given  # which is refused
        return given | {"attack_steps": min(steps, 1), "attack_lr": steps * lr or lr, "init": "latest"}
