r"""P4D, Prompting4Debugging (Chin et al., ICML 2024): make the erased model answer as the original does.

    min over e of  || eps_theta(z_t, t, T([n(e), prompt])) - eps_0(z_t, t, T_0(prompt)) ||^2

n(e) is the vocabulary row nearest to e by cosine; the gradient at n(e) moves e. The schedule of timesteps and
judged pictures is UnlearnDiffAtk's, as in its repository's ``hard_prompt`` attacker, whose numbers the paper
compares. T_0 is the original text encoder, so that erased text encoders can be attacked too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.prefix_search import RESEEDED, PrefixSearch
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.diffusion.prompts import EvaluationPrompt


@ATTACKS.register("P4D")
class P4D(Attack):
    """Nearest vocabulary rows."""

    NEEDS_ORIGINAL = True
    QUIRKS = RESEEDED

    def search(self, prompts: list[EvaluationPrompt], targets: Tensor) -> Search:
        """One batch."""
        return NearestSearch(self, prompts, targets)


def nearest_by_cosine(rows: Tensor, table: Tensor) -> Tensor:
    """Index [...] of the row of ``table`` [v, d] with the largest cosine to each of ``rows`` [..., d]."""
    directions, others = (torch.nn.functional.normalize(tensor, dim=-1) for tensor in (rows, table))
    return (directions @ others.T).argmax(-1)


class NearestSearch(PrefixSearch):
    """``variable`` e [b, k, d], from random vocabulary rows."""

    def __init__(self, attack: Any, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        super().__init__(attack, prompts, targets)
        size, tokens = len(self.vocabulary), self.budget.tokens
        start = torch.stack([torch.randint(size, (tokens,), generator=g) for g in self.generators])
        self.begin(self.table[start.to(self.table.device)].clone())
        self.reference = attack.original.encode_prompts([prompt.text for prompt in prompts])

    def keep(self, rows: list[int]) -> None:
        """The reference too."""
        super().keep(rows)
        self.reference = self.reference[rows]

    def step(self, timestep: int) -> None:
        """Project, differentiate there, step."""
        rows = self.table[self.best()].requires_grad_(True)
        latents, _, timesteps = self.noisy(timestep)
        with torch.no_grad():
            wanted = self.attack.original.predict_noise(latents, timesteps, self.reference)
        predicted = self.model.predict_noise(latents, timesteps, self.prefixed(rows))
        (gradient,) = torch.autograd.grad((predicted - wanted).square().mean((1, 2, 3)).sum(), rows)
        self.descend(gradient.float())

    def best(self) -> Tensor:
        """Nearest rows."""
        assert self.variable is not None
        return nearest_by_cosine(self.variable.detach(), self.table)
