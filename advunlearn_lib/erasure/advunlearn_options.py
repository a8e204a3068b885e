"""What AdvUnlearn can be told (``advunlearn.py``), each default with its source."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from advunlearn_lib.base.settings import marks
from advunlearn_lib.diffusion.token_edit import Layout
from advunlearn_lib.erasure.cheaper_attack import CheaperAttackOptions
from advunlearn_lib.erasure.esd import ESDOptions


class AdvUnlearnOptions(CheaperAttackOptions):
    """ESD's options and those of attack and retain regularisation."""

    QUIRKS: ClassVar[dict[str, str]] = ESDOptions.QUIRKS | {
        "word_count": "the concept's length is counted in words, so the second token of 'tench' is lost",
        "drop_last_update": "the attack returns the prompt from before its last update",
        "accumulate_gradients": "the attack sums its gradients over the K steps",
        "signed_buffer": "Fast AT, K > 1: a gradient's sign replaces it in the buffer of the next",
        "adam_attack": "the attack takes Adam's steps",
        "separate_retain_step": "the retain loss gets an optimiser step of its own, without gamma",
    }

    component: str = Field("text_encoder", json_schema_extra=marks(source="paper: its main results"))
    group: str = Field("full", json_schema_extra=marks(source="official default text_encoder_full"))
    attack_steps: int = Field(
        30,
        ge=0,
        description="K of the inner attack; 1 is Fast AT, 0 no attack",
        json_schema_extra=marks(smallest=2, source="paper, set-up of training"),
    )
    attack_lr: float = Field(
        0.001,
        gt=0,
        description="rate of the inner attack",
        json_schema_extra=marks(source="paper, set-up of training"),
    )
    attack_step: Literal["gradient", "sign"] = Field(
        "gradient",
        description="what the rate multiplies: the gradient, or its sign in each coordinate",
        json_schema_extra=marks(
            source="paper: gradient descent for K = 30, the gradient's sign for Fast AT alone"
        ),
    )
    attack_tokens: int = Field(
        1,
        ge=1,
        description="adversarial tokens",
        json_schema_extra=marks(room=True, source="paper, set-up of training: one prefix token"),
    )
    layout: Layout = Field(
        "prefix",
        description="where they stand: prefix, suffix, replace, add",
        json_schema_extra=marks(source="paper, table A4"),
    )
    init: Literal["random", "latest"] = Field(
        "random",
        description="where an inner attack starts",
        json_schema_extra=marks(source="official README's command for nudity (the code's default: latest)"),
    )
    warm_up: int = Field(
        200,
        ge=0,
        description="first iterations, without attack",
        json_schema_extra=marks(
            smallest=0, source="official default; the paper has none, whether its numbers had is *unknown*"
        ),
    )
    retain_weight: float = Field(
        0.3,
        ge=0,
        description="gamma (paper: 0.3 for nudity, 0.5 for styles and objects)",
        json_schema_extra=marks(source="paper, set-up of training"),
    )
    retain_batch: int = Field(
        5,
        ge=1,
        description="retain prompts a step",
        json_schema_extra=marks(at_once=True, source="paper, set-up of training"),
    )
    retain_per_prompt: int = Field(
        2,
        ge=1,
        description="sampling paths kept for each retain prompt",
        json_schema_extra=marks(
            scaled=True,
            smallest=1,
            source="ours; a prompt is drawn 20 times in 1000 iterations, officially with new noise each time",
        ),
    )
    same_path: bool = Field(
        False,
        description="the attack's steps and the loss after it walk one sampling path of the prompt",
        json_schema_extra=marks(
            source="official: new noise at each step of the attack, and again for the loss"
        ),
    )

    def official_quirks(self) -> frozenset[str]:
        """The official code's quirks: with Fast AT's buffer (K = 1), or with the other attack's.

        Without a separate retain step, which the README's command turns off (``reg``).
        """
        other = "accumulate_gradients" if self.attack_steps == 1 else "signed_buffer"
        return super().official_quirks() - {other, "separate_retain_step"}
