r"""CCE, Circumventing Concept Erasure (Pham et al., ICLR 2024): textual inversion against the erased model.

    min over v of  E_{z_0, t, eps} || eps - eps_theta(z_t, t, T(template with v)) ||^2

One continuous token embedding v for all prompts, put before each of them in the end. The result is no text,
so it is stronger than what a user could type. z_0 are pictures that the original model draws of
``budget.templates`` with ``budget.word`` in them, from seeds that no evaluation prompt has, mirrored at
random; v starts from ``budget.initializer`` and is learned in the templates. Timesteps are uniform, only v
moves; the text encoder is the erased one. Official ``concept_inversion``, which learns nudity before I2P
prompts (its issue 2).
"""

from __future__ import annotations

from functools import partial
from itertools import count, cycle, islice
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from advunlearn_lib.attacks.attack import Attack, check_finite
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.seeds import derived_seed, generator
from advunlearn_lib.base.settings import marks
from advunlearn_lib.diffusion.pictures import generate_pictures
from advunlearn_lib.diffusion.prompts import EvaluationPrompt

SAMPLES = 16  # pictures a step (official: batches of 4, accumulated over 4)


Template = Annotated[str, Field(pattern=r"\{\}")]
TEMPLATES = ("a photo of a {}", "a picture of a {}", "an image of a {}")


class CCEBudget(Budget):
    """What CCE learns its token from."""

    word: str = Field(
        "",
        description="the concept's word, which training pictures are drawn of",
        json_schema_extra=marks(named=True, smallest="church"),
    )
    pictures: int = Field(25, ge=1, description="training pictures", json_schema_extra=marks(smallest=1))
    initializer: str = Field("", description="the word that the token starts from; empty: the same")
    templates: tuple[Template, ...] = Field(
        TEMPLATES, min_length=1, description="texts with {} that it draws and learns in"
    )


@ATTACKS.register("CCE")
class CCE(Attack):
    """Learn v once, then judge. Raises :class:`UserError` for a budget without a word."""

    BUDGET = CCEBudget
    NEEDS_ORIGINAL = True
    budget: CCEBudget

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if not self.budget.word:
            raise UserError("CCE needs the concept's word (word='church', say)")

    def rounds(self) -> int:
        """One picture a prompt."""
        return 1

    def prepare(self, prompts: list[EvaluationPrompt], targets: Tensor) -> None:
        """Learn v [1, d] by AdamW; of the evaluation prompts only the seeds count, as those to be avoided."""
        model, rng = self.model, generator(self.seed)
        (ids, places), pictures = self.texts(), self.pictures({prompt.seed for prompt in prompts})
        v = self.start().requires_grad_(True)
        optimizer = torch.optim.AdamW([v], self.budget.lr, weight_decay=0.01)
        for _ in tqdm(range(self.budget.steps), desc="textual inversion", leave=False):
            which, mirrored, text = (
                torch.randint(size, (SAMPLES,), generator=rng) for size in (pictures.shape[1], 2, len(ids))
            )
            timesteps = torch.randint(len(model.alphas_cumprod), (SAMPLES,), generator=rng).to(model.device)
            z0 = pictures[mirrored, which]
            noise = torch.randn(z0.shape, generator=rng).to(z0)
            words = with_token(model.token_embeds(ids[text]), v, [places[i] for i in text.tolist()])
            noisy, embeds = model.add_noise(z0, noise, timesteps), model.encode(ids[text], words)
            loss = F.mse_loss(model.predict_noise(noisy, timesteps, embeds), noise)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        check_finite(v.isfinite())
        self.v = v.detach()

    def pictures(self, taken: set[int]) -> Tensor:
        """Latents z_0 [2, n, c, h, w] of the training pictures, and of the same mirrored.

        The original model draws them, from seeds that are not ``taken``.
        """
        assert self.original is not None
        texts = [template.replace("{}", self.budget.word) for template in self.budget.templates]
        seeds = (seed for seed in map(partial(derived_seed, self.seed), count()) if seed not in taken)
        prompts = list(map(EvaluationPrompt, islice(cycle(texts), self.budget.pictures), seeds))
        images = generate_pictures(self.original, prompts, self.sampling, batch=self.batch)
        parts = torch.cat([images, images.flip(-1)]).split(self.batch)
        return torch.cat([self.model.encode_images(part) for part in parts]).unflatten(0, (2, -1))

    def texts(self) -> tuple[Tensor, list[int]]:
        """Ids [n, l] of the templates without their {}, and where v goes in each."""
        templates = self.budget.templates
        before = [template.partition("{}")[0] for template in templates]
        places = [1 + len(ids) for ids in self.model.tokenizer(before, add_special_tokens=False).input_ids]
        plain = [" ".join(template.replace("{}", " ").split()) for template in templates]
        return self.model.tokenize(plain), places

    def start(self) -> Tensor:
        """v [1, d] to begin with: the mean of the initializer's tokens, or of the word's."""
        chosen = self.budget.initializer or self.budget.word
        ids = self.model.tokenizer(chosen, add_special_tokens=False).input_ids
        return self.model.embedding_table().detach()[ids].mean(0, keepdim=True)

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
