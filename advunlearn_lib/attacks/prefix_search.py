"""Adversarial tokens before each prompt, searched along ascending timesteps, as UnlearnDiffAtk and P4D do."""

from __future__ import annotations

import torch
from torch import Tensor

from advunlearn_lib.attacks.search import Search
from advunlearn_lib.diffusion.token_edit import with_prefix

FIRST, LAST = 10, 990  # the paper's timesteps: 10, 30, ..., 990; a smaller budget spaces its own evenly
RESEEDED = {
    "reseeded_evaluation": "each judged picture seeds all randomness anew: every round draws the same noises"
}


class PrefixSearch(Search):
    """A round is ``budget.steps`` gradient steps at one timestep; timesteps ascend from round to round."""

    def advance(self, number: int) -> None:
        """The round's steps."""
        if "reseeded_evaluation" in self.budget.quirks:
            self.seed_generators()
        timestep = int(torch.linspace(FIRST, LAST, self.budget.timesteps).round()[number])
        for _ in range(self.budget.steps):
            self.step(timestep)

    def step(self, timestep: int) -> None:
        """One gradient step of every prompt."""
        raise NotImplementedError

    def noisy(self, timestep: int) -> tuple[Tensor, Tensor, Tensor]:
        """The targets noised to ``timestep``: z_t, the noise, and timesteps [b]."""
        noise = self.noise()
        timesteps = torch.full((len(noise),), timestep, device=noise.device)
        return self.model.add_noise(self.targets, noise, timesteps), noise, timesteps

    def prefixed(self, rows: Tensor) -> Tensor:
        """Prompt embeddings with the token embeddings ``rows`` [b, k, d] before each prompt."""
        embeds = self.model.token_embeds(self.ids)
        words = torch.cat([embeds[:, :1], rows, embeds[:, 1:]], 1)[:, : embeds.shape[1]]
        return self.model.encode(self.ids, words)

    def best(self) -> Tensor:
        """Positions in ``vocabulary`` of the adversarial tokens, [b, k]."""
        raise NotImplementedError

    def texts(self) -> list[str]:
        """Each prompt with its adversarial tokens before it."""
        return [
            with_prefix(self.model, row, prompt.text)
            for row, prompt in zip(self.vocabulary[self.best()].tolist(), self.prompts, strict=True)
        ]
