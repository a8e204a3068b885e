"""What every attack shares: prompts in batches, each judged before and after, early stop, sanity flags.

An attack is a :class:`Search` in rounds: each round changes the adversarial prompts of those still unbroken and ends with
a judged picture. A prompt never feels the others of its batch, so the batch size does not change what happens to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from advunlearn_lib.attacks.records import AttackedPrompt, AttackResult, Budget, Judge, PromptResult, result
from advunlearn_lib.errors import UserError
from advunlearn_lib.microbatch import in_memory
from advunlearn_lib.model import LatentDiffusion, Sampling
from advunlearn_lib.progress import tqdm
from advunlearn_lib.prompts import check_room


def draw(
    model: LatentDiffusion, prompts: Sequence[AttackedPrompt], sampling: Sampling, texts: Sequence[str] | Tensor | None = None
) -> Tensor:
    """Pictures of ``prompts``, or of ``texts`` (or prompt embeddings) with the prompts' seeds and guidance scales."""
    scales = [sampling.guidance_scale if p.guidance_scale is None else p.guidance_scale for p in prompts]
    shown = [p.text for p in prompts] if texts is None else texts
    return model.generate(shown, [p.seed for p in prompts], sampling, len(prompts), guidance_scale=scales)


def judge_prompts(model: LatentDiffusion, judge: Judge, prompts: Sequence[AttackedPrompt], sampling: Sampling, batch: int) -> Tensor:
    """Does the picture of each prompt show the concept? bool [b]."""
    return torch.cat([judge(draw(model, prompts[i : i + batch], sampling)) for i in range(0, len(prompts), batch)])


class Attack:
    """An attack on ``model``. ``original`` is the model before erasing, ``clip`` a (CLIPModel, processor): some need them."""

    WHOLE: ClassVar[bool] = False  # the tokens replace the prompt: it is searched even where the plain one succeeds

    def __init__(
        self,
        model: LatentDiffusion,
        judge: Judge,
        budget: Budget,
        sampling: Sampling,
        seed: int = 0,
        original: LatentDiffusion | None = None,
        clip: tuple[Any, Any] | None = None,
    ) -> None:
        self.model, self.judge, self.budget, self.sampling, self.seed = model, judge, budget, sampling, seed
        self._original, self._clip = original, clip

    @property
    def original(self) -> LatentDiffusion:
        """The model before erasing; :class:`UserError` where it was not given."""
        if self._original is None:
            raise UserError(f"{type(self).__name__} needs the model before erasing (original=...)")
        return self._original

    @property
    def clip(self) -> tuple[Any, Any]:
        """CLIP model and processor; :class:`UserError` where they were not given."""
        if self._clip is None:
            raise UserError(f"{type(self).__name__} needs a CLIP model (clip=...)")
        return self._clip

    def rounds(self) -> int:
        """Judged pictures a prompt, at most."""
        return self.budget.timesteps

    def prepare(self, prompts: list[AttackedPrompt], targets: Tensor) -> None:
        """What is done once for all prompts."""

    def search(self, prompts: list[AttackedPrompt], targets: Tensor) -> Search:
        """The state of one batch."""
        raise NotImplementedError

    def run(self, prompts: Sequence[AttackedPrompt], targets: Tensor, only: Sequence[int] | None = None) -> AttackResult:
        """Attack ``prompts``; ``targets`` are latents z_0 [n, c, h, w] of the concept, one a prompt.

        ``only``: the prompts to attack, by index; what an attack learns once (CCE) it learns on all.
        Raises :class:`UserError` for prompts without tokens or too long for ``budget.tokens`` more.
        """
        return in_memory(lambda: self.run_once(prompts, targets, only), self.model, self.budget.batch)

    def run_once(self, prompts: Sequence[AttackedPrompt], targets: Tensor, only: Sequence[int] | None) -> AttackResult:
        """:meth:`run`, where memory lasts."""
        room = 0 if self.WHOLE or not self.rounds() else self.budget.tokens
        check_room(self.model, [p.text for p in prompts if not p.exempt], room)
        chosen = list(range(len(prompts)) if only is None else only)
        if not chosen:
            return AttackResult(prompts=[], flags=[])
        shown = judge_prompts(self.model, self.judge, [prompts[i] for i in chosen], self.sampling, self.budget.batch).tolist()
        before, again = dict(zip(chosen, shown, strict=True)), self.WHOLE and self.rounds() > 0
        robust = [i for i in chosen if not prompts[i].exempt and (again or not before[i])]
        left = set(chosen) - set(robust)
        results = {i: result(prompts[i], before[i], before[i], prompts[i].text, 0 if before[i] else -1) for i in left}
        flags = set() if self.deterministic(prompts[chosen[0]]) else {"generation is not deterministic"}
        if robust and self.rounds():
            self.prepare(list(prompts), targets)
        with tqdm(total=len(chosen), initial=len(results), desc="attack", leave=False) as bar:
            for start in range(0, len(robust), self.budget.batch):
                part = robust[start : start + self.budget.batch]
                flags |= self.run_batch([prompts[i] for i in part], targets[part], part, results, bar.update)
        outcomes = [results[i].model_copy(update={"before": before[i]}) for i in chosen]
        return AttackResult(prompts=outcomes, flags=sorted(flags))

    def run_batch(
        self,
        prompts: list[AttackedPrompt],
        targets: Tensor,
        alive: list[int],
        results: dict[int, PromptResult],
        update: Callable[[int], object],
    ) -> set[str]:
        """Round after round until all are broken; outcomes go to ``results`` under the indices ``alive``."""
        for i, prompt in zip(alive, prompts, strict=True):
            results[i] = result(prompt, False, False, prompt.text, -1)
        if not self.rounds():
            return set()
        search = self.search(prompts, targets)
        for number in range(self.rounds()):
            search.advance(number)
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

    def deterministic(self, prompt: AttackedPrompt) -> bool:
        """Does the same prompt and seed give the same picture twice?"""
        return torch.equal(*(draw(self.model, [prompt], self.sampling) for _ in range(2)))


class Search:
    """One batch of prompts under attack, one generator a prompt. ``variable`` [b, ...] is what is searched, if anything."""

    variable: Tensor | None = None
    optimizer: torch.optim.Optimizer | None = None

    def __init__(self, attack: Any, prompts: list[AttackedPrompt], targets: Tensor) -> None:
        self.attack, self.model, self.budget = attack, attack.model, attack.budget
        self.prompts, self.targets = prompts, targets
        self.ids = self.model.tokenize([prompt.text for prompt in prompts])
        self.generators = [torch.Generator().manual_seed(hash_seed(attack.seed, prompt)) for prompt in prompts]
        self.gradient_is_zero = False

    def advance(self, number: int) -> None:
        """Round ``number``, from 0."""
        raise NotImplementedError

    def texts(self) -> list[str]:
        """The adversarial prompts as a user would have to type them."""
        raise NotImplementedError

    def pictures(self, texts: list[str]) -> Tensor:
        """The pictures of ``texts``, which are tokenised again."""
        return draw(self.model, self.prompts, self.attack.sampling, texts)

    def make_optimizer(self, variable: Tensor) -> torch.optim.Optimizer:
        """For ``variable``."""
        return torch.optim.Adam([variable], self.budget.lr, weight_decay=self.budget.weight_decay)

    def begin(self, variable: Tensor) -> None:
        """Search ``variable`` from here on."""
        self.variable = variable.requires_grad_(True)
        self.optimizer = self.make_optimizer(self.variable)

    def descend(self, gradient: Tensor) -> None:
        """One optimiser step along ``gradient``."""
        assert self.variable is not None and self.optimizer is not None
        self.gradient_is_zero |= not bool(gradient.flatten(1).any(1).all())
        self.variable.grad = gradient
        self.optimizer.step()

    def keep(self, rows: list[int]) -> None:
        """Forget all prompts but ``rows``."""
        self.ids, self.targets = self.ids[rows], self.targets[rows]
        self.prompts, self.generators = [self.prompts[i] for i in rows], [self.generators[i] for i in rows]
        if self.variable is not None and self.optimizer is not None:
            count, state = len(self.variable), self.optimizer.state.pop(self.variable, {})
            self.begin(self.variable.detach()[rows])
            self.optimizer.state[self.variable] = {k: v[rows] if v.ndim and len(v) == count else v for k, v in state.items()}

    def noise(self) -> Tensor:
        """Standard normal noise for each prompt's latents, from its own generator."""
        return torch.stack([torch.randn(self.targets.shape[1:], generator=g) for g in self.generators]).to(self.targets)

    @cached_property
    def vocabulary(self) -> Tensor:
        """Ids of all tokens but start and end."""
        special = {self.model.tokenizer.bos_token_id, self.model.tokenizer.eos_token_id}
        size = len(self.model.embedding_table())
        return torch.tensor([i for i in range(size) if i not in special], device=self.model.device)

    @cached_property
    def table(self) -> Tensor:
        """Embedding rows [v, d] of ``vocabulary``."""
        return self.model.token_embeds(self.vocabulary).detach()


def hash_seed(seed: int, prompt: AttackedPrompt) -> int:
    """A generator seed that depends on the prompt alone, not on its place in a batch."""
    return (seed * 7_368_787 + prompt.seed * 31 + sum(ord(c) * (i + 1) for i, c in enumerate(prompt.text))) % 2**31
