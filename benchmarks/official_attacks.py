r"""The official codes' way to attack, plainly, on the same networks as the library's: prompt by prompt.

UnlearnDiffAtk and P4D (OPTML-Group/Diffusion-MU-Attack, ``attackers/text_grad.py``, ``hard_prompt.py``),
PEZ (YuxinWenRick/hard-prompts-made-easy) and PH2P (ubc-vision/Prompting-Hard-Hardly-Prompting). Each function
takes one prompt and says whether the concept was shown; its formula is in the library's module of that name.

Left out, in the official codes' favour: a process and a model loaded for each prompt, guidance as two calls
of the UNet, a second evaluation of PEZ's loss, nearest rows by numpy and L-BFGS's own work (PH2P). Noise
comes from the same generators as the library's, one a prompt, so that both find the same texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor

from advunlearn_lib.attacks.clip_features import picture_features
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.base.seeds import prompt_seed
from advunlearn_lib.diffusion.prompts import EvaluationPrompt, Judge
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.diffusion.soft_tokens import soft_tokens
from benchmarks.official import draw, embedded, prefixed, token_ids

TOLERANCE = 1e-5  # of UnlearnDiffAtk's bisection
CLOSURES = 20  # gradients of a step of PH2P


class Attacked:
    """One prompt under attack on ``pipe``; ``z0`` [1, c, h, w] is what the attack aims at."""

    def __init__(
        self,
        pipe: Any,
        judge: Judge,
        prompt: EvaluationPrompt,
        z0: Tensor,
        budget: Budget,
        sampling: Sampling,
    ) -> None:
        self.pipe, self.judge, self.prompt, self.z0 = pipe, judge, prompt, z0
        self.budget, self.sampling = budget, sampling
        self.rng = torch.Generator().manual_seed(prompt_seed(0, prompt.seed, prompt.text))
        tokenizer, table = pipe.tokenizer, pipe.text_encoder.get_input_embeddings().weight
        special = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        self.vocabulary = [index for index in range(len(table)) if index not in special]
        self.rows, self.ids = table[self.vocabulary].detach(), token_ids(pipe, [prompt.text])
        self.words = table[self.ids].detach()
        self.schedule = DDPMScheduler.from_config(pipe.scheduler.config)

    def noisy(self, timestep: int) -> tuple[Tensor, Tensor, Tensor]:
        """z_t of the target, its noise, and t."""
        noise, t = torch.randn(self.z0.shape, generator=self.rng), torch.tensor([timestep])
        return self.schedule.add_noise(self.z0, noise, t), noise, t

    def predict(self, z: Tensor, t: Tensor, words: Tensor, ids: Tensor) -> Tensor:
        """The attacked model's noise at token embeddings ``words`` [1, l, d]."""
        return torch.as_tensor(self.pipe.unet(z, t, embedded(self.pipe.text_encoder, ids, words)).sample)

    def start(self) -> Tensor:
        """Random positions [k] in the vocabulary."""
        return torch.randint(len(self.vocabulary), (self.budget.tokens,), generator=self.rng)

    def typed(self, chosen: Tensor, before: bool = True) -> str:
        """The text of tokens [k], ``before`` the prompt's own."""
        ids = [self.vocabulary[index] for index in chosen.tolist()]
        if not before:
            return str(self.pipe.tokenizer.decode(ids))
        own = self.pipe.tokenizer(self.prompt.text, add_special_tokens=False).input_ids
        return str(self.pipe.tokenizer.decode(ids + own, skip_special_tokens=True)).strip()

    def picture(self, text: str) -> Tensor:
        """The picture of ``text`` from the prompt's seed."""
        return draw(self.pipe, EvaluationPrompt(text, self.prompt.seed), self.sampling)

    def shows(self, text: str) -> bool:
        """Does its picture show the concept?"""
        return bool(self.judge(self.picture(text)))

    def frame(self) -> Tensor:
        """Ids [1, l] of a whole prompt of tokens to be found."""
        tokenizer = self.pipe.tokenizer
        rest = self.ids.shape[1] - 1 - self.budget.tokens
        row = [tokenizer.bos_token_id, *[0] * self.budget.tokens, *[tokenizer.eos_token_id] * rest]
        return torch.tensor([row])

    def ascend(self, step: Callable[[int], None], best: Callable[[], Tensor]) -> bool:
        """The benchmark's schedule: steps at a timestep, then a judged picture; easy timesteps first."""
        if self.shows(self.prompt.text):
            return True
        for timestep in torch.linspace(10, 990, self.budget.timesteps).round().int().tolist():
            for _ in range(self.budget.steps):
                step(timestep)
            if self.shows(self.typed(best())):
                return True
        return False


def to_simplex(row: Tensor) -> Tensor:
    """Projection of ``row`` [v] onto {p >= 0, sum p = 1}, by bisection on its shift."""
    high = float(row.max())
    low = high - 1
    while high - low > TOLERANCE:
        middle = (low + high) / 2
        if float((row - middle).clamp(0, 1).sum()) > 1:
            low = middle
        else:
            high = middle
    return (row - (low + high) / 2).clamp(0, 1)


def unlearndiffatk(one: Attacked) -> bool:
    """Distributions [k, v] over the vocabulary, a row projected at a time."""
    size = len(one.vocabulary)
    p = torch.full((one.budget.tokens, size), 1 / size, requires_grad=True)
    adam = torch.optim.Adam([p], one.budget.lr, weight_decay=one.budget.weight_decay)

    def step(timestep: int) -> None:
        chosen = torch.multinomial(p.detach(), 1, generator=one.rng)[:, 0]
        one_hot = F.one_hot(chosen, size).float().requires_grad_(True)
        z, noise, t = one.noisy(timestep)
        predicted = one.predict(z, t, prefixed(one.words, (one_hot @ one.rows)[None]), one.ids)
        (gradient,) = torch.autograd.grad(F.mse_loss(predicted, noise), one_hot)
        p.grad = gradient.clamp(-1, 1)
        adam.step()
        p.data = torch.stack([to_simplex(row) for row in p.data])

    return one.ascend(step, lambda: p.argmax(-1))


def p4d(one: Attacked, original: Any) -> bool:
    """Continuous tokens [k, d], of which the nearest rows by cosine are used."""
    e = one.rows[one.start()].clone().requires_grad_(True)
    adam = torch.optim.Adam([e], one.budget.lr, weight_decay=one.budget.weight_decay)
    with torch.no_grad():
        reference = embedded(original.text_encoder, one.ids)

    def nearest() -> Tensor:
        return torch.cosine_similarity(e.detach()[:, None], one.rows[None], dim=-1).argmax(-1)

    def step(timestep: int) -> None:
        rows = one.rows[nearest()].requires_grad_(True)
        z, _, t = one.noisy(timestep)
        with torch.no_grad():
            wanted = original.unet(z, t, reference).sample
        predicted = one.predict(z, t, prefixed(one.words, rows[None]), one.ids)
        (e.grad,) = torch.autograd.grad(F.mse_loss(predicted, wanted), rows)
        adam.step()

    return one.ascend(step, nearest)


def pez(one: Attacked, clip: tuple[Any, Any]) -> bool:
    """A whole prompt that CLIP finds like the target picture; the best text is drawn."""
    network, _ = clip
    wanted, frame = picture_features(clip, decoded(one)), one.frame()
    embedding = network.text_model.get_input_embeddings()
    rows, around = embedding(torch.tensor(one.vocabulary)).detach(), embedding(frame).detach()
    best = one.start()
    reached, e = -1.0, rows[best].clone().requires_grad_(True)
    adam = torch.optim.AdamW([e], one.budget.lr, weight_decay=one.budget.weight_decay)
    for _ in range(one.budget.steps):
        chosen = torch.cosine_similarity(e.detach()[:, None], rows[None], dim=-1).argmax(-1)
        point = rows[chosen].requires_grad_(True)
        words = torch.cat([around[:, :1], point[None], around[:, 1 + len(point) :]], 1)
        with soft_tokens(network.text_model, words):
            similar = torch.cosine_similarity(network.get_text_features(frame), wanted, dim=-1)
        (e.grad,) = torch.autograd.grad(-similar.sum(), point)
        if float(similar) > reached:
            reached, best = float(similar), chosen
        adam.step()
    return one.shows(one.typed(best, before=False))


def ph2p(one: Attacked, clip: tuple[Any, Any]) -> bool:
    """A whole prompt read off the target by the diffusion loss, late timesteps; each step's text is drawn."""
    wanted, frame, chosen = picture_features(clip, decoded(one)), one.frame(), one.start()
    around = one.pipe.text_encoder.get_input_embeddings().weight[frame].detach()
    reached, best, e = -1.0, chosen, one.rows[chosen].clone()
    for _ in range(one.budget.steps):
        for _ in range(CLOSURES):
            chosen = torch.cdist(e, one.rows).argmin(-1)
            point = one.rows[chosen].requires_grad_(True)
            words = torch.cat([around[:, :1], point[None], around[:, 1 + len(point) :]], 1)
            z, noise, t = one.noisy(int(torch.randint(500, 900, (1,), generator=one.rng)))
            (gradient,) = torch.autograd.grad(F.mse_loss(one.predict(z, t, words, frame), noise), point)
            e = e - one.budget.lr * gradient
        features = picture_features(clip, one.picture(one.typed(chosen, before=False)))
        if float((features * wanted).sum()) > reached:
            reached, best = float((features * wanted).sum()), chosen
    return one.shows(one.typed(best, before=False))


@torch.no_grad()
def decoded(one: Attacked) -> Tensor:
    """The target picture [1, 3, h, w] in [0, 1]."""
    vae = one.pipe.vae
    return (torch.as_tensor(vae.decode(one.z0 / vae.config.scaling_factor).sample) / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def encoded(pipe: Any, images: Tensor) -> Tensor:
    """Latents z_0 of pictures in [0, 1]."""
    means = pipe.vae.encode(2 * images - 1).latent_dist.mean
    return torch.as_tensor(means * pipe.vae.config.scaling_factor)
