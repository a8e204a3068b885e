"""L-BFGS on many problems at once."""

from __future__ import annotations

import torch
from torch import Tensor

MEMORY = 10


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
