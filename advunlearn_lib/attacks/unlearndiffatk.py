r"""UnlearnDiffAtk (Zhang et al., ECCV 2024): discrete prefix tokens by the model's own diffusion loss.

    min over p of  E_eps || eps - eps_theta( z_t, t, T([o(p), prompt]) ) ||^2,
    z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps

z_0 is a picture of the concept (the original model's, same prompt and seed). Each of k rows of p is a
distribution over the vocabulary; o(p) samples a token from it and passes the gradient straight through; Adam
steps, then exact projection to the simplex. Timesteps ascend; after each one the arg-max tokens are decoded
to text, the text is tokenised again, and the judged picture decides. AdvUnlearn paper, appendix C; official
``attackers/text_grad.py``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.prefix_search import RESEEDED, PrefixSearch
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.diffusion.device import to_device
from advunlearn_lib.diffusion.prompts import EvaluationPrompt


def project_to_simplex(rows: Tensor) -> Tensor:
    """Euclidean projection of each row onto {p >= 0, sum p = 1}, by sorting (Duchi et al. 2008)."""
    ordered = rows.sort(-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    rank = torch.arange(1, rows.shape[-1] + 1, device=rows.device)
    last = ((ordered - excess / rank) > 0).sum(-1, keepdim=True).clamp(min=1)  # 0 of what is not finite
    return (rows - excess.gather(-1, last - 1) / last).clamp(min=0)


@ATTACKS.register("UnlearnDiffAtk")
class UnlearnDiffAtk(Attack):
    """Distributions over the vocabulary."""

    QUIRKS = RESEEDED

    def search(self, prompts: list[EvaluationPrompt], targets: Tensor) -> Search:
        """One batch."""
        return SimplexSearch(self, prompts, targets)


class SimplexSearch(PrefixSearch):
    """``variable`` p [b, k, v]."""

    def __init__(self, attack: Attack, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        super().__init__(attack, prompts, targets)
        self.threads = ThreadPoolExecutor(torch.get_num_threads())
        size = len(self.vocabulary)
        self.begin(torch.full((len(prompts), self.budget.tokens, size), 1 / size, device=self.model.device))

    def step(self, timestep: int) -> None:
        """Sample tokens, differentiate at them, step, project."""
        assert self.variable is not None
        with torch.no_grad():
            one_hot = torch.nn.functional.one_hot(self.sampled(), len(self.vocabulary)).to(self.table.dtype)
        one_hot.requires_grad_(True)
        latents, noise, timesteps = self.noisy(timestep)
        predicted = self.model.predict_noise(latents, timesteps, self.prefixed(one_hot @ self.table))
        # a sum over prompts: their gradients do not mix
        loss = (predicted - noise).square().mean((1, 2, 3)).sum()
        (gradient,) = torch.autograd.grad(loss, one_hot)
        self.descend(gradient.clamp(-1, 1).float())
        self.variable.data = project_to_simplex(self.variable.data)

    def sampled(self) -> Tensor:
        """A token of each row, [b, k], as ``torch.multinomial`` draws it: arg-max of p / q, q exponential.

        q is drawn on the CPU, a thread a prompt, while a GPU is still at the last step; the GPU compares.
        """
        assert self.variable is not None
        q = torch.empty(self.variable.shape)
        list(self.threads.map(lambda row, rng: row.exponential_(generator=rng), q, self.generators))
        return (self.variable / to_device(q, self.variable.device)).argmax(-1)

    def best(self) -> Tensor:
        """Arg-max."""
        assert self.variable is not None
        return self.variable.detach().argmax(-1)
