r"""PEZ, hard prompts made easy (Wen et al., NeurIPS 2023): a whole prompt that CLIP finds like the picture.

    max over e of  cos( CLIP picture features of x_0, CLIP text features of n(e) )

n(e): nearest vocabulary rows by cosine; the gradient at n(e) moves e by AdamW. The erased model is never
asked: the best text is put to it at the end. Official ``optim_utils.py``; steps and tokens are the budget's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.clip_features import picture_features
from advunlearn_lib.attacks.p4d import nearest_by_cosine
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.soft_tokens import soft_tokens


@ATTACKS.register("PEZ")
class PEZ(Attack):
    """Black box: CLIP alone."""

    NEEDS_CLIP = True
    REPLACES_PROMPT = True

    def rounds(self) -> int:
        """One picture a prompt."""
        return 1

    def search(self, prompts: list[EvaluationPrompt], targets: Tensor) -> Search:
        """One batch."""
        return ClipSearch(self, prompts, targets)


class ClipSearch(Search):
    """``variable`` e [b, k, d]; ``tokens`` [b, k]: positions in ``vocabulary`` of the best so far."""

    def __init__(self, attack: Any, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        super().__init__(attack, prompts, targets)
        network, _ = attack.clip
        self.network, size, tokens = network, len(self.vocabulary), self.budget.tokens
        device = network.device
        self.wanted = picture_features(attack.clip, self.model.decode_latents(targets))
        special = self.model.tokenizer
        row = [
            special.bos_token_id,
            *[0] * tokens,
            *[special.eos_token_id] * (self.ids.shape[1] - tokens - 1),
        ]
        self.frame = torch.tensor([row] * len(prompts), device=device)
        self.embedding = network.text_model.get_input_embeddings()
        self.rows = self.embedding(self.vocabulary.to(device)).detach()
        rows = [torch.randint(size, (tokens,), generator=g) for g in self.generators]
        start = torch.stack(rows).to(device)
        self.begin(self.rows[start].clone())
        self.tokens, self.reached = start, torch.full((len(prompts),), -1.0, device=device)

    def make_optimizer(self, variable: Tensor) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW([variable], self.budget.lr, weight_decay=self.budget.weight_decay)

    def similarity(self, rows: Tensor) -> Tensor:
        """Cosine [b] of the pictures with prompts of token embeddings ``rows`` [b, k, d]."""
        around = self.embedding(self.frame).detach()
        words = torch.cat([around[:, :1], rows, around[:, 1 + rows.shape[1] :]], 1)
        with soft_tokens(self.network.text_model, words):
            texts = self.network.get_text_features(self.frame)
        return torch.cosine_similarity(texts, self.wanted, dim=-1)

    def advance(self, number: int) -> None:
        """All steps; the best projected prompt of each row is kept."""
        assert self.variable is not None
        for _ in tqdm(range(self.budget.steps), desc="PEZ", leave=False):
            best = nearest_by_cosine(self.variable.detach(), self.rows)
            rows = self.rows[best].requires_grad_(True)
            similar = self.similarity(rows)
            (gradient,) = torch.autograd.grad(-similar.sum(), rows)
            better = similar.detach() > self.reached
            self.reached = torch.where(better, similar.detach(), self.reached)
            self.tokens = torch.where(better[:, None], best, self.tokens)
            self.descend(gradient)

    def texts(self) -> list[str]:
        """The best prompt of each row."""
        tokens = self.vocabulary[self.tokens.to(self.vocabulary.device)].tolist()
        return [self.model.tokenizer.decode(row) for row in tokens]
