"""The state of one batch of prompts under attack."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.base.seeds import generator, prompt_seed
from advunlearn_lib.diffusion.device import to_device
from advunlearn_lib.diffusion.pictures import generate_pictures
from advunlearn_lib.diffusion.prompts import EvaluationPrompt


class Search:
    """One batch of prompts under attack, one generator a prompt.

    ``variable`` [b, ...] is what is searched, if anything.
    """

    variable: Tensor | None = None
    optimizer: torch.optim.Optimizer | None = None

    def __init__(self, attack: Any, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        self.attack, self.model, self.budget = attack, attack.model, attack.budget
        self.prompts, self.targets = prompts, targets
        self.ids = self.model.tokenize([prompt.text for prompt in prompts])
        self.seed_generators()
        self.gradient_is_zero = torch.zeros((), dtype=torch.bool, device=self.model.device)
        self.gradient_is_finite = ~self.gradient_is_zero

    def seed_generators(self) -> None:
        """One generator a prompt, from its beginning."""
        seeds = [prompt_seed(self.attack.seed, prompt.seed, prompt.text) for prompt in self.prompts]
        self.generators = [generator(seed) for seed in seeds]

    def advance(self, number: int) -> None:
        """Round ``number``, from 0."""
        raise NotImplementedError

    def texts(self) -> list[str]:
        """The adversarial prompts as a user would have to type them."""
        raise NotImplementedError

    def pictures(self, texts: list[str]) -> Tensor:
        """The pictures of ``texts``, which are tokenised again."""
        return generate_pictures(self.model, self.prompts, self.attack.sampling, texts)

    def make_optimizer(self, variable: Tensor) -> torch.optim.Optimizer:
        """For ``variable``."""
        return torch.optim.Adam([variable], self.budget.lr, weight_decay=self.budget.weight_decay)

    def begin(self, variable: Tensor) -> None:
        """Search ``variable`` from here on."""
        self.variable = variable.requires_grad_(True)
        self.optimizer = self.make_optimizer(self.variable)

    def look_at(self, gradient: Tensor) -> None:
        """Note whether it is zero for a prompt, and whether it is finite; a GPU need not be waited for."""
        self.gradient_is_zero = self.gradient_is_zero | ~gradient.flatten(1).any(1).all()
        self.gradient_is_finite = self.gradient_is_finite & gradient.isfinite().all()

    def descend(self, gradient: Tensor) -> None:
        """One optimiser step along ``gradient``."""
        assert self.variable is not None and self.optimizer is not None
        self.look_at(gradient)
        self.variable.grad = gradient
        self.optimizer.step()

    def keep(self, rows: list[int]) -> None:
        """Forget all prompts but ``rows``."""
        self.ids, self.targets = self.ids[rows], self.targets[rows]
        self.prompts, self.generators = [self.prompts[i] for i in rows], [self.generators[i] for i in rows]
        if self.variable is not None and self.optimizer is not None:
            count, state = len(self.variable), self.optimizer.state.pop(self.variable, {})
            self.begin(self.variable.detach()[rows])
            kept = {name: v[rows] if v.ndim and len(v) == count else v for name, v in state.items()}
            self.optimizer.state[self.variable] = kept

    def noise(self) -> Tensor:
        """Standard normal noise for each prompt's latents, from its own generator."""
        rows = [torch.randn(self.targets.shape[1:], generator=g) for g in self.generators]
        return to_device(torch.stack(rows), self.targets.device)

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
