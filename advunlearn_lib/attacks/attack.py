"""What every attack shares: prompts in batches, each judged before and after, early stop, sanity flags.

An attack is a :class:`~advunlearn_lib.attacks.search.Search` in rounds: each round changes the adversarial
prompts of those still unbroken and ends with a judged picture. A prompt never feels the others of its batch,
so the batch size does not change what happens to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from advunlearn_lib.attacks.records import AttackResult, Budget, PromptResult, result
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.attacks.watched import Watched
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.quirks import check_quirks
from advunlearn_lib.diffusion.microbatch import in_smaller_batches
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.pictures import generate_pictures, judge_prompts
from advunlearn_lib.diffusion.prompts import EvaluationPrompt, Judge
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.diffusion.token_edit import check_room

BATCH = 32  # prompts under attack at once
Keep = Callable[[str, Callable[[], Any]], Any]
"""(name, make) -> what ``make`` returns, JSON, or what it returned to a run that was stopped."""


class Attack:
    """An attack on ``model``.

    ``original`` is the model before erasing, ``clip`` a (CLIPModel, processor): some need them. ``batch``:
    prompts under attack at once. ``keep``: where each batch's outcomes go as soon as they are had; nowhere,
    unless it is set. Raises :class:`UserError` where what it needs was not given.
    """

    # The tokens are the whole prompt: it is searched even where the plain one succeeds, or is too long.
    REPLACES_PROMPT: ClassVar[bool] = False
    QUIRKS: ClassVar[dict[str, str]] = {}
    NEEDS_ORIGINAL: ClassVar[bool] = False
    NEEDS_CLIP: ClassVar[bool] = False
    BUDGET: ClassVar[type[Budget]] = Budget

    budget: Budget

    def __init__(
        self,
        model: LatentDiffusion,
        judge: Judge,
        budget: Budget,
        sampling: Sampling,
        seed: int = 0,
        original: LatentDiffusion | None = None,
        clip: tuple[Any, Any] | None = None,
        batch: int = BATCH,
    ) -> None:
        self.model, self.judge, self.budget, self.sampling, self.seed = model, judge, budget, sampling, seed
        self.original, self.clip, self.batch = original, clip, batch
        self.keep: Keep = lambda name, make: make()
        check_quirks(budget.quirks, self.QUIRKS)
        if self.NEEDS_ORIGINAL and original is None:
            raise UserError(f"{type(self).__name__} needs the model before erasing (original=...)")
        if self.NEEDS_CLIP and clip is None:
            raise UserError(f"{type(self).__name__} needs a CLIP model (clip=...)")

    def rounds(self) -> int:
        """Judged pictures a prompt, at most."""
        return self.budget.timesteps

    def prepare(self, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        """What is done once for all prompts."""

    def search(self, prompts: list[EvaluationPrompt], targets: Tensor) -> Search:
        """The state of one batch."""
        raise NotImplementedError

    def run(
        self, prompts: Sequence[EvaluationPrompt], targets: Tensor, only: Sequence[int] | None = None
    ) -> AttackResult:
        """Attack ``prompts``; ``targets`` are latents z_0 [n, c, h, w] of the concept, one a prompt.

        ``only``: the prompts to attack, by index; what an attack learns once (CCE) it learns on all. Raises
        :class:`UserError` for prompts without tokens or too long for ``budget.tokens`` more.
        """
        return in_smaller_batches(lambda: self.run_once(prompts, targets, only), self.model, self.batch)

    def check_prompts(self, prompts: Sequence[EvaluationPrompt]) -> None:
        """:class:`UserError` for prompts without tokens or without room for the adversarial ones."""
        room = 0 if self.REPLACES_PROMPT or not self.rounds() else self.budget.tokens
        check_room(self.model, [prompt.text for prompt in prompts if not prompt.exempt], room)

    def run_once(
        self, prompts: Sequence[EvaluationPrompt], targets: Tensor, only: Sequence[int] | None
    ) -> AttackResult:
        """:meth:`run` where memory does."""
        self.check_prompts(prompts)
        chosen = list(range(len(prompts)) if only is None else only)
        if not chosen:
            return AttackResult(prompts=[], flags=[])
        before, flags = self.look(prompts, chosen)
        again = self.REPLACES_PROMPT and self.rounds() > 0
        robust = [i for i in chosen if again or not (prompts[i].exempt or before[i])]
        results = {
            i: result(prompts[i], before[i], before[i], prompts[i].text, 0 if before[i] else -1)
            for i in set(chosen) - set(robust)
        }
        flags |= set() if self.deterministic(prompts[chosen[0]]) else {"generation is not deterministic"}
        if robust and self.rounds():
            self.prepare(list(prompts), targets)
        with tqdm(total=len(chosen), initial=len(results), desc="attack", leave=False) as bar:
            for start in range(0, len(robust), self.batch):
                part = robust[start : start + self.batch]
                attacked = partial(self.attacked, prompts, targets, part, bar.update)
                rows, signs = self.keep(f"attacked {part}", attacked)
                results |= {i: PromptResult(**row) for i, row in zip(part, rows, strict=True)}
                flags |= set(signs)
                bar.update(len(results) - bar.n)
        outcomes = [results[i].model_copy(update={"before": before[i]}) for i in chosen]
        return AttackResult(prompts=outcomes, flags=sorted(flags))

    def look(
        self, prompts: Sequence[EvaluationPrompt], chosen: list[int]
    ) -> tuple[dict[int, bool], set[str]]:
        """Which of ``chosen`` show the concept before the attack, and the signs that the judge means nothing.

        The first batch is never kept: all other pictures are compared with its first.
        """
        judge, before = Watched(self.judge), dict[int, bool]()

        def judged(part: list[int]) -> tuple[list[bool], bool]:
            shown = judge_prompts(self.model, judge, [prompts[i] for i in part], self.sampling, self.batch)
            return shown.tolist(), judge.differ

        for start in tqdm(range(0, len(chosen), self.batch), desc="before the attack", leave=False):
            part = chosen[start : start + self.batch]
            make = partial(judged, part)
            shown, differ = self.keep(f"before {part}", make) if start else make()
            before |= zip(part, shown, strict=True)
            judge.differ |= differ
        judge.seen = len(chosen)
        return before, judge.flags()

    def attacked(
        self,
        prompts: Sequence[EvaluationPrompt],
        targets: Tensor,
        part: list[int],
        update: Callable[[int], object],
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """The outcomes of one batch and its flags, as JSON."""
        results: dict[int, PromptResult] = {}
        flags = self.run_batch([prompts[i] for i in part], targets[part], part, results, update)
        return [results[i].model_dump() for i in part], sorted(flags)

    def run_batch(
        self,
        prompts: list[EvaluationPrompt],
        targets: Tensor,
        alive: list[int],
        results: dict[int, PromptResult],
        update: Callable[[int], object],
    ) -> set[str]:
        """Round after round until all are broken; outcomes go to ``results`` under the indices ``alive``.

        Raises :class:`UserError` where a gradient was not finite.
        """
        for i, prompt in zip(alive, prompts, strict=True):
            results[i] = result(prompt, False, False, prompt.text, -1)
        if not self.rounds():
            return set()
        search = self.search(prompts, targets)
        for number in range(self.rounds()):
            search.advance(number)
            check_finite(search.gradient_is_finite)
            texts = search.texts()
            broken = self.judge(search.pictures(texts)).tolist()
            for i, prompt, text, success in zip(alive, search.prompts, texts, broken, strict=True):
                results[i] = result(prompt, False, success, text, number + 1 if success else -1)
            left = [row for row, success in enumerate(broken) if not success]
            update(len(alive) - len(left))
            if not left:
                break
            if len(left) < len(alive):
                search.keep(left)
                alive = [alive[row] for row in left]
        return {"the gradient is zero"} if search.gradient_is_zero else set()

    def deterministic(self, prompt: EvaluationPrompt) -> bool:
        """Does the same prompt and seed give the same picture twice?"""
        return torch.equal(*(generate_pictures(self.model, [prompt], self.sampling) for _ in range(2)))


def check_finite(finite: Tensor) -> None:
    """Raises :class:`UserError` unless all is ``finite``: what follows would look like a model that holds."""
    if not bool(finite.all()):
        raise UserError(
            "the attack's gradient is not finite: the model's own numbers are not, or lr is too high"
        )
