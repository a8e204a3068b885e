r"""PH2P, prompting hard or hardly prompting (Mahajan et al.,
CVPR 2024): invert the picture through the diffusion loss.

    min over e of  E_eps || eps - eps_theta(z_t, t, T(n(e))) ||^2,   t ~ U{500, ..., 899}

A whole prompt of k tokens, read off the picture z_0 at late timesteps, where layout and subject live. L-BFGS
moves e for ``budget.steps`` steps on a fixed draw of (t, eps); then e is projected to its nearest vocabulary
rows (L2) and the projected prompt judged: delayed projection, once a round. Official
``Prompting-Hard-Hardly-Prompting``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.records import EvaluationPrompt
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.base.progress import tqdm

EARLIEST, LATEST = 500, 900
DRAWS = 4  # (t, eps) pairs that make one round's objective
MEMORY = 10


@ATTACKS.register("PH2P")
class PH2P(Attack):
    """White box, whole prompt."""

    REPLACES_PROMPT = True

    def search(self, prompts: list[EvaluationPrompt], targets: Tensor) -> Search:
        """One batch."""
        return InversionSearch(self, prompts, targets)


class LBFGS:
    """L-BFGS without line search, each row of a batch a
    problem of its own: torch.optim.LBFGS, many at once.
    """

    def __init__(self, lr: float) -> None:
        self.lr, self.steps, self.changes = lr, list[Tensor](), list[Tensor]()
        self.gradient: Tensor | None = None
        self.step: Tensor | None = None

    def update(self, gradient: Tensor) -> Tensor:
        """The next step [b, n] for the gradient [b, n] at the point the last step led to."""
        if self.gradient is None or self.step is None:
            direction = -gradient
            rate = self.lr * (1 / gradient.abs().sum(-1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
        else:
            self.steps = [*self.steps, self.step][-MEMORY:]
            self.changes = [*self.changes, gradient - self.gradient][-MEMORY:]
            direction, rate = self.two_loops(gradient), torch.tensor(self.lr)
        self.gradient, self.step = gradient, rate * direction
        return self.step

    def two_loops(self, gradient: Tensor) -> Tensor:
        """- H g by the two-loop recursion; pairs without curvature count for nothing."""
        pairs = [(s, y, (s * y).sum(-1, keepdim=True)) for s, y in zip(self.steps, self.changes, strict=True)]
        q, alphas = -gradient, []
        for s, y, sy in reversed(pairs):
            alpha = torch.where(sy > 1e-10, (s * q).sum(-1, keepdim=True) / sy.clamp(min=1e-10), 0)
            q = q - alpha * y
            alphas.append(alpha)
        _, y, sy = pairs[-1]
        r = q * torch.where(sy > 1e-10, sy / y.square().sum(-1, keepdim=True).clamp(min=1e-20), 1)
        for (s, y, sy), alpha in zip(pairs, reversed(alphas), strict=True):
            beta = torch.where(sy > 1e-10, (y * r).sum(-1, keepdim=True) / sy.clamp(min=1e-10), 0)
            r = r + s * torch.where(sy > 1e-10, alpha - beta, 0)
        return r


class InversionSearch(Search):
    """``variable`` e [b, k, d], from random vocabulary rows."""

    def __init__(self, attack: PH2P, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        super().__init__(attack, prompts, targets)
        size, tokens = len(self.vocabulary), self.budget.tokens
        special = self.model.tokenizer
        row = [
            special.bos_token_id,
            *[0] * tokens,
            *[special.eos_token_id] * (self.ids.shape[1] - tokens - 1),
        ]
        self.frame = torch.tensor([row] * len(prompts), device=self.model.device)
        start = torch.stack([torch.randint(size, (tokens,), generator=g) for g in self.generators])
        self.found = start.to(self.model.device)

    def keep(self, rows: list[int]) -> None:
        """The frame and the found tokens too."""
        super().keep(rows)
        self.frame, self.found = self.frame[rows], self.found[rows]

    def advance(self, number: int) -> None:
        """L-BFGS from the projected prompt on a fresh objective, then projection."""
        rows = self.table[self.found]
        draws = [(self.timesteps(), self.noise()) for _ in range(DRAWS)]
        optimizer = LBFGS(self.budget.lr)
        for _ in tqdm(range(self.budget.steps), desc="PH2P", leave=False):
            point = rows.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.objective(point, draws), point)
            self.gradient_is_zero |= not bool(gradient.flatten(1).any(1).all())
            rows = rows + optimizer.update(gradient.flatten(1)).view_as(rows)
        self.found = torch.cdist(rows.flatten(0, 1), self.table).argmin(-1).view(self.found.shape)

    def timesteps(self) -> Tensor:
        """A late timestep a prompt, [b]."""
        return torch.cat([torch.randint(EARLIEST, LATEST, (1,), generator=g) for g in self.generators]).to(
            self.model.device
        )

    def objective(self, rows: Tensor, draws: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The loss above at token embeddings ``rows`` [b, k, d], averaged over ``draws`` and summed over
        prompts: they do not mix.
        """
        around = self.model.token_embeds(self.frame).detach()
        words = torch.cat([around[:, :1], rows, around[:, 1 + rows.shape[1] :]], 1)
        embeds, total = self.model.encode(self.frame, words), torch.zeros((), device=rows.device)
        for timesteps, noise in draws:
            predicted = self.model.predict_noise(
                self.model.add_noise(self.targets, noise, timesteps), timesteps, embeds
            )
            total = total + (predicted - noise).square().mean((1, 2, 3)).sum() / len(draws)
        return total

    def texts(self) -> list[str]:
        """The projected prompts."""
        return [self.model.tokenizer.decode(row) for row in self.vocabulary[self.found].tolist()]
