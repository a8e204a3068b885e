"""No attack: each prompt as it is. Its success rate is the pre-ASR."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from advunlearn_lib.attacks.base import AttackedPrompt, Budget, Judge, PromptResult, judge_prompts
from advunlearn_lib.model import LatentDiffusion, Sampling


def no_attack(
    model: LatentDiffusion,
    prompts: Sequence[AttackedPrompt],
    targets: Tensor,
    judge: Judge,
    budget: Budget,
    sampling: Sampling,
    seed: int = 0,
) -> list[PromptResult]:
    """Judge the picture of each plain prompt; ``targets`` and the budget's steps are not used."""
    texts = [prompt.text for prompt in prompts]
    success = judge_prompts(model, judge, texts, [prompt.seed for prompt in prompts], sampling, budget.batch).tolist()
    pairs = zip(prompts, success, strict=True)
    return [PromptResult(prompt=p.text, seed=p.seed, before=s, after=s, adversarial=p.text, step=0 if s else -1) for p, s in pairs]
