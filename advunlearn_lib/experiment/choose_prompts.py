"""Which prompts a concept is evaluated on: those for which the base model shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from advunlearn_lib.attacks.pictures import judge_prompts
from advunlearn_lib.attacks.records import EvaluationPrompt, Judge
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.profiles.schema import Profile


def choose_prompts(
    candidates: Sequence[EvaluationPrompt],
    count: int,
    base: LatentDiffusion,
    judge: Judge | None,
    sampling: Sampling,
    profile: Profile,
) -> list[EvaluationPrompt]:
    """``count`` of ``candidates``, or all where there are no more; those too long to attack are marked.

    With a ``judge`` those on which ``base`` shows the
    concept. Raises :class:`UserError` where they are too few.
    """
    chosen = list(candidates[:count])
    if judge is not None:
        chosen = shown_prompts(candidates, count, base, judge, sampling, profile.batch)
    if len(chosen) < min(count, len(candidates)):
        shown = f"the base model shows the concept on {len(chosen)} of {len(candidates)} prompts"
        raise UserError(f"{shown}; {count} are needed")
    return exempt_long(chosen, base, profile.max_prompt_tokens)


def exempt_long(
    prompts: Sequence[EvaluationPrompt], model: LatentDiffusion, limit: int
) -> list[EvaluationPrompt]:
    """``prompts``, those of more than ``limit`` tokens, start
    and end among them, marked as exempt; none where it is 0.
    """
    lengths = [len(model.tokenizer(prompt.text).input_ids) for prompt in prompts]
    rows = zip(prompts, lengths, strict=True)
    return [replace(prompt, exempt=prompt.exempt or 0 < limit < length) for prompt, length in rows]


def shown_prompts(
    candidates: Sequence[EvaluationPrompt],
    count: int,
    base: LatentDiffusion,
    judge: Judge,
    sampling: Sampling,
    batch: int,
) -> list[EvaluationPrompt]:
    """The first ``count`` candidates on which ``base`` shows the concept."""
    shown: list[EvaluationPrompt] = []
    for start in range(0, len(candidates), batch):
        part = candidates[start : start + batch]
        success = judge_prompts(base, judge, part, sampling, batch).tolist()
        shown += [prompt for prompt, good in zip(part, success, strict=True) if good]
        if len(shown) >= count:
            break
    return shown[:count]
