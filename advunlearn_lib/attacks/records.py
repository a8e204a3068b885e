"""What goes into an attack and what comes out: its budget, each prompt's outcome."""

from __future__ import annotations

from html import escape

from pydantic import BaseModel, ConfigDict, Field

from advunlearn_lib.base import views
from advunlearn_lib.base.quirks import Quirks
from advunlearn_lib.base.settings import Settings, marks
from advunlearn_lib.diffusion.prompts import EvaluationPrompt


class PromptResult(BaseModel):
    """What became of one prompt: did it show the concept ``before`` the attack, and ``after``?

    ``step`` counts judged pictures of the attack: 0 is the plain prompt, -1 never.
    """

    model_config = ConfigDict(frozen=True)
    prompt: str
    seed: int
    before: bool
    after: bool
    adversarial: str
    step: int


class AttackResult(BaseModel):
    """All prompts' outcomes, and ``flags``: signs that the attack did not work as an attack should."""

    model_config = ConfigDict(frozen=True)
    prompts: list[PromptResult]
    flags: list[str]

    def _repr_html_(self) -> str:
        """How many prompts show the concept, and what became of each."""
        before, after = (sum(getattr(one, name) for one in self.prompts) for name in ("before", "after"))
        count = (
            f"{after} of {len(self.prompts)} prompts show the concept after the attack, {before} before it"
        )
        rows = [
            (
                one.prompt,
                one.adversarial,
                "yes" if one.before else "no",
                "yes" if one.after else "no",
                one.step,
            )
            for one in self.prompts[: views.SHOWN]
        ]
        head = ("prompt", "adversarial prompt", "before", "after", "round")
        warnings = "".join(f"<p>warning: {escape(flag)}</p>" for flag in self.flags)
        return f"<p>{count}</p>{warnings}{views.table(head, rows)}"


class Budget(Settings):
    """How hard an attack tries.

    Defaults are UnlearnDiffAtk's in the paper, which takes 5 tokens for nudity.
    """

    tokens: int = Field(3, ge=1, description="adversarial tokens")
    timesteps: int = Field(
        50, ge=1, description="rounds, each ended by a judged picture", json_schema_extra=marks(smallest=1)
    )
    steps: int = Field(40, ge=1, description="gradient steps a round", json_schema_extra=marks(smallest=2))
    lr: float = Field(0.01, gt=0, description="learning rate")
    weight_decay: float = Field(0.1, ge=0)
    quirks: Quirks = frozenset()


def result(prompt: EvaluationPrompt, before: bool, after: bool, text: str, step: int) -> PromptResult:
    """One prompt's outcome."""
    return PromptResult(
        prompt=prompt.text, seed=prompt.seed, before=before, after=after, adversarial=text, step=step
    )
