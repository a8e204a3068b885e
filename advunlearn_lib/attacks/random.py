"""Random prefix tokens, as many judged pictures as the gradient attack: what luck alone finds."""

from __future__ import annotations

import torch
from torch import Tensor

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.token_edit import with_prefix


@ATTACKS.register("random")
class Random(Attack):
    """A new random prefix each round."""

    def search(self, prompts: list[EvaluationPrompt], targets: Tensor) -> Search:
        """One batch."""
        return RandomSearch(self, prompts, targets)


class RandomSearch(Search):
    """The round's tokens."""

    def advance(self, number: int) -> None:
        """Draw."""
        size, tokens = len(self.vocabulary), self.budget.tokens
        self.drawn = [
            self.vocabulary[torch.randint(size, (tokens,), generator=g)].tolist() for g in self.generators
        ]

    def texts(self) -> list[str]:
        """Each prompt with its random tokens before it."""
        return [
            with_prefix(self.model, row, prompt.text)
            for row, prompt in zip(self.drawn, self.prompts, strict=True)
        ]
