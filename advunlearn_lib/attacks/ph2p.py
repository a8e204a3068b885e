r"""PH2P, prompting hard or hardly prompting (Mahajan et al., CVPR 2024): invert a picture.

It is inverted through the diffusion loss.

    min over e of  E_eps || eps - eps_theta(z_t, t, T(n(e))) ||^2,   t ~ U{500, ..., 899}

A whole prompt of k tokens, read off the picture z_0 at late timesteps, where layout and subject
live. n(e), the nearest vocabulary rows (L2), is taken in every forward pass; each gradient there moves
e by -lr times itself. Official ``Prompting-Hard-Hardly-Prompting`` hands n(e) to L-BFGS, whose step
the next projection overwrites: of L-BFGS nothing is left but the 20 gradients (closures) of one of
its steps. Of the texts that the steps end with, the one whose picture CLIP finds most like the target
is judged. There e starts from a fixed text, z_0 is cropped at random, L-BFGS may end a step early and
every text is drawn; here e starts from random rows, z_0 is whole, a step has all its closures and at
most ``CANDIDATES`` texts are drawn.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.clip_features import picture_features
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.diffusion.prompts import EvaluationPrompt

EARLIEST, LATEST = 500, 900
CLOSURES = 20  # gradients a step, each with a draw of (t, eps) of its own: L-BFGS's max_iter
CANDIDATES = 50


@ATTACKS.register("PH2P")
class PH2P(Attack):
    """White box, whole prompt."""

    REPLACES_PROMPT = True
    NEEDS_CLIP = True

    def rounds(self) -> int:
        """One picture a prompt is judged."""
        return 1

    def search(self, prompts: list[EvaluationPrompt], targets: Tensor) -> Search:
        """One batch."""
        return InversionSearch(self, prompts, targets)


class InversionSearch(Search):
    """The search's state: the best texts so far and their likeness to the target.

    ``tokens`` [b, k]: the texts' positions in ``vocabulary``; ``likeness`` [b].
    """

    def __init__(self, attack: Any, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        super().__init__(attack, prompts, targets)
        size, tokens, special = len(self.vocabulary), self.budget.tokens, self.model.tokenizer
        padding = [special.eos_token_id] * (self.ids.shape[1] - tokens - 1)
        row = [special.bos_token_id, *[0] * tokens, *padding]
        self.frame = torch.tensor([row] * len(prompts), device=self.model.device)
        start = torch.stack([torch.randint(size, (tokens,), generator=g) for g in self.generators])
        self.tokens = start.to(self.model.device)
        self.wanted = picture_features(attack.clip, self.model.decode_latents(targets))
        self.likeness = torch.full((len(prompts),), -1.0, device=self.wanted.device)

    def keep(self, rows: list[int]) -> None:
        """The frame, the tokens and the targets too."""
        super().keep(rows)
        self.frame, self.tokens = self.frame[rows], self.tokens[rows]
        self.likeness, self.wanted = self.likeness[rows], self.wanted[rows]

    def advance(self, number: int) -> None:
        """All steps; of every few the last text is drawn and compared with the target."""
        e, every = self.table[self.tokens].clone(), -(-self.budget.steps // CANDIDATES)
        for step in tqdm(range(self.budget.steps), desc="PH2P", leave=False):
            for _ in range(CLOSURES):
                chosen = self.nearest(e)
                point = self.table[chosen].requires_grad_(True)
                loss = self.objective(point, self.timesteps(), self.noise())
                (gradient,) = torch.autograd.grad(loss, point)
                self.look_at(gradient)
                e = e - self.budget.lr * gradient
            if step % every == every - 1 or step == self.budget.steps - 1:
                self.compare(chosen)

    def nearest(self, e: Tensor) -> Tensor:
        """Positions [b, k] in ``vocabulary`` of the rows nearest to ``e`` [b, k, d]."""
        return torch.cdist(e.flatten(0, 1), self.table).argmin(-1).view(e.shape[:2])

    @torch.no_grad()
    def compare(self, tokens: Tensor) -> None:
        """Keep ``tokens`` where their picture is more like the target than the best so far."""
        drawn = picture_features(self.attack.clip, self.pictures(self.decoded(tokens)))
        likeness = (drawn * self.wanted).sum(-1)
        better = likeness > self.likeness
        self.likeness = torch.where(better, likeness, self.likeness)
        self.tokens = torch.where(better.to(tokens.device)[:, None], tokens, self.tokens)

    def timesteps(self) -> Tensor:
        """A late timestep a prompt, [b]."""
        steps = [torch.randint(EARLIEST, LATEST, (1,), generator=g) for g in self.generators]
        return torch.cat(steps).to(self.model.device)

    def objective(self, rows: Tensor, timesteps: Tensor, noise: Tensor) -> Tensor:
        """The loss above at token embeddings ``rows`` [b, k, d].

        It is summed over prompts: they do not mix.
        """
        around = self.model.token_embeds(self.frame).detach()
        words = torch.cat([around[:, :1], rows, around[:, 1 + rows.shape[1] :]], 1)
        noisy = self.model.add_noise(self.targets, noise, timesteps)
        predicted = self.model.predict_noise(noisy, timesteps, self.model.encode(self.frame, words))
        return (predicted - noise).square().mean((1, 2, 3)).sum()

    def decoded(self, tokens: Tensor) -> list[str]:
        """The texts of ``tokens`` [b, k]."""
        return [self.model.tokenizer.decode(row) for row in self.vocabulary[tokens].tolist()]

    def texts(self) -> list[str]:
        """The best texts."""
        return self.decoded(self.tokens)
