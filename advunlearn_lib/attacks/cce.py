r"""CCE, Circumventing Concept Erasure (Pham et al., ICLR 2024): textual inversion against the erased model.

    min over v of  E_{z_0, t, eps} || eps - eps_theta(z_t, t, T([v, prompt])) ||^2

One continuous token embedding v for all prompts, learned on pictures z_0 of the concept with their prompts,
then put before each prompt. The result is no text, so it is stronger than what a user could type. Timesteps
are uniform, only v moves; the text encoder is the erased one. Official ``concept_inversion``; for I2P prompts
"<v> prompt" (its issue 2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.pictures import generate_pictures
from advunlearn_lib.attacks.records import EvaluationPrompt
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.seeds import generator

PICTURES = 25  # the official number of training pictures
SAMPLES = 8  # pictures a step (official: 4 x 4 accumulated)


@ATTACKS.register("CCE")
class CCE(Attack):
    """Learn v once, then judge."""

    def rounds(self) -> int:
        """One picture a prompt."""
        return 1

    def prepare(self, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        """Learn v [1, d] by AdamW, from the mean vocabulary row."""
        model, count = self.model, min(PICTURES, len(prompts))
        ids = model.tokenize([prompt.text for prompt in prompts[:count]])
        v = model.embedding_table().detach().mean(0, keepdim=True).clone().requires_grad_(True)
        optimizer = torch.optim.AdamW([v], self.budget.lr, weight_decay=0.01)
        rng = generator(self.seed)
        for _ in tqdm(range(self.budget.steps), desc="textual inversion", leave=False):
            which = torch.randint(count, (SAMPLES,), generator=rng)
            timesteps = torch.randint(len(model.alphas_cumprod), (SAMPLES,), generator=rng).to(model.device)
            z0 = targets[which]
            noise = torch.randn(z0.shape, generator=rng).to(z0)
            embeds = model.encode(ids[which], with_token(model.token_embeds(ids[which]), v))
            noisy = model.add_noise(z0, noise, timesteps)
            loss = F.mse_loss(model.predict_noise(noisy, timesteps, embeds), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.v = v.detach()

    def search(self, prompts: list[EvaluationPrompt], targets: Tensor) -> Search:
        """One batch."""
        return Inverted(self, prompts, targets)


def with_token(token_embeds: Tensor, v: Tensor) -> Tensor:
    """``v`` [1, d] after the start token of each row of
    ``token_embeds`` [b, l, d]; the last position drops out.
    """
    rows = v[None].expand(len(token_embeds), -1, -1)
    return torch.cat([token_embeds[:, :1], rows, token_embeds[:, 1:]], 1)[:, : token_embeds.shape[1]]


class Inverted(Search):
    """Nothing is left to search."""

    def advance(self, number: int) -> None:
        """Done in :meth:`CCE.prepare`."""

    def texts(self) -> list[str]:
        """For the record; v has no text."""
        return [f"<v> {prompt.text}" for prompt in self.prompts]

    @torch.no_grad()
    def pictures(self, texts: list[str]) -> Tensor:
        """Pictures of [v, prompt]."""
        embeds = self.model.encode(self.ids, with_token(self.model.token_embeds(self.ids), self.attack.v))
        return generate_pictures(self.model, self.prompts, self.attack.sampling, embeds)
