r"""CCE, Circumventing Concept Erasure (Pham et al., ICLR 2024): textual inversion against the erased model.

    min over v of  E_{z_0, t, eps} || eps - eps_theta(z_t, t, T([v, prompt])) ||^2

One continuous token embedding v for all prompts, learned on pictures z_0 of the concept, then put before each
prompt. The result is no text, so it is stronger than what a user could type. Timesteps are uniform, only v
moves; the text encoder is the erased one. v starts from ``budget.initializer``. It is learned before the
prompts themselves, as the official code does for I2P (its issue 2), or in ``budget.templates``, as it does
for objects and styles. Official ``concept_inversion``.
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
SAMPLES = 16  # pictures a step (official: batches of 4, accumulated over 4)


@ATTACKS.register("CCE")
class CCE(Attack):
    """Learn v once, then judge."""

    LEARNS_A_WORD = True

    def rounds(self) -> int:
        """One picture a prompt."""
        return 1

    def prepare(self, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        """Learn v [1, d] by AdamW."""
        model, count, rng = self.model, min(PICTURES, len(prompts)), generator(self.seed)
        ids, places = self.texts(prompts[:count])
        v = self.start().requires_grad_(True)
        optimizer = torch.optim.AdamW([v], self.budget.lr, weight_decay=0.01)
        for _ in tqdm(range(self.budget.steps), desc="textual inversion", leave=False):
            which = torch.randint(count, (SAMPLES,), generator=rng)
            timesteps = torch.randint(len(model.alphas_cumprod), (SAMPLES,), generator=rng).to(model.device)
            text = which if not self.budget.templates else torch.randint(len(ids), (SAMPLES,), generator=rng)
            z0 = targets[which]
            noise = torch.randn(z0.shape, generator=rng).to(z0)
            words = with_token(model.token_embeds(ids[text]), v, [places[i] for i in text.tolist()])
            noisy, embeds = model.add_noise(z0, noise, timesteps), model.encode(ids[text], words)
            loss = F.mse_loss(model.predict_noise(noisy, timesteps, embeds), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.v = v.detach()

    def texts(self, prompts: list[EvaluationPrompt]) -> tuple[Tensor, list[int]]:
        """Ids [n, l] of what v is learned in, and where it
        goes: before each prompt, or for a template's {}.
        """
        model, templates = self.model, self.budget.templates
        if not templates:
            return model.tokenize([prompt.text for prompt in prompts]), [1] * len(prompts)
        before = [template.partition("{}")[0] for template in templates]
        places = [1 + len(ids) for ids in model.tokenizer(before, add_special_tokens=False).input_ids]
        return model.tokenize(
            [" ".join(template.replace("{}", " ").split()) for template in templates]
        ), places

    def start(self) -> Tensor:
        """v [1, d] to begin with: the mean of the initializer's tokens, or of the vocabulary."""
        table = self.model.embedding_table().detach()
        ids = self.model.tokenizer(self.budget.initializer, add_special_tokens=False).input_ids
        return (table[ids] if ids else table).mean(0, keepdim=True).clone()

    def search(self, prompts: list[EvaluationPrompt], targets: Tensor) -> Search:
        """One batch."""
        return Inverted(self, prompts, targets)


def with_token(token_embeds: Tensor, v: Tensor, places: list[int]) -> Tensor:
    """``v`` [1, d] at ``places`` of the rows of ``token_embeds`` [b, l, d]; their last position drops out."""
    rows = zip(token_embeds, places, strict=True)
    return torch.stack([torch.cat([row[:place], v, row[place:-1]]) for row, place in rows])


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
        words = with_token(self.model.token_embeds(self.ids), self.attack.v, [1] * len(self.ids))
        embeds = self.model.encode(self.ids, words)
        return generate_pictures(self.model, self.prompts, self.attack.sampling, embeds)
