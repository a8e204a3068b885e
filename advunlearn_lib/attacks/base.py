"""What every attack takes and gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from advunlearn_lib.model import LatentDiffusion, Sampling

Judge = Callable[[Tensor], Tensor]
"""Pictures [b, 3, h, w] in [0, 1] -> does each show the concept? bool [b]."""


@dataclass(frozen=True)
class AttackedPrompt:
    """A prompt to attack, with the seed of its picture."""

    text: str
    seed: int


class PromptResult(BaseModel):
    """What became of one prompt. ``step`` counts judged pictures of the attack: 0 is the plain prompt, -1 never."""

    model_config = ConfigDict(frozen=True)
    prompt: str
    seed: int
    before: bool
    after: bool
    adversarial: str
    step: int


class Budget(BaseModel):
    """How hard the attack tries. The paper: 50 timesteps x 40 steps, 5 tokens for nudity and 3 otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tokens: int = Field(3, ge=1)
    timesteps: int = Field(6, ge=1)
    steps: int = Field(8, ge=1)
    lr: float = Field(0.01, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    batch: int = Field(32, ge=1)


def judge_prompts(
    model: LatentDiffusion, judge: Judge, texts: Sequence[str], seeds: Sequence[int], sampling: Sampling, batch: int
) -> Tensor:
    """Does the picture of each prompt show the concept? bool [b]."""
    return torch.cat(
        [judge(model.generate(texts[i : i + batch], seeds[i : i + batch], sampling, batch)) for i in range(0, len(texts), batch)]
    )
