"""CCE's official way, plainly: NYU-DICE-Lab/circumventing-concept-erasure, ``concept_inversion``.

Four pictures at a time, gradients of four such batches added up for a step, each picture encoded anew every
time it is drawn; then the concept's prompts one by one. The formula is in the library's ``attacks/cce.py``.
"""

from __future__ import annotations

from itertools import count, islice
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor

from advunlearn_lib.attacks.cce import CCEBudget
from advunlearn_lib.base.seeds import derived_seed
from advunlearn_lib.diffusion.prompts import EvaluationPrompt, Judge
from advunlearn_lib.diffusion.sampling import Sampling
from benchmarks.official import draw, embedded, prefixed, token_ids
from benchmarks.official_attacks import encoded

MICRO_BATCH, ACCUMULATED = 4, 4


def training_pictures(
    original: Any, prompts: list[EvaluationPrompt], budget: CCEBudget, sampling: Sampling
) -> Tensor:
    """Pictures [n, 3, h, w] that the original model draws of the templates, from seeds of no prompt."""
    taken = {prompt.seed for prompt in prompts}
    seeds = islice(
        (seed for seed in (derived_seed(0, i) for i in count()) if seed not in taken), budget.pictures
    )
    drawn = []
    for number, seed in enumerate(seeds):
        template = budget.templates[number % len(budget.templates)]
        prompt = EvaluationPrompt(template.replace("{}", budget.word), seed)
        drawn.append(draw(original, prompt, sampling))
    return torch.cat(drawn)


def invert(pipe: Any, pictures: Tensor, budget: CCEBudget) -> Tensor:
    """The embedding v [1, d] of the concept's new token, by textual inversion against ``pipe``."""
    rng, tokenizer = torch.Generator().manual_seed(0), pipe.tokenizer
    table = pipe.text_encoder.get_input_embeddings().weight.detach()
    own = tokenizer(budget.initializer or budget.word, add_special_tokens=False).input_ids
    v = table[own].mean(0, keepdim=True).requires_grad_(True)
    before = [template.partition("{}")[0] for template in budget.templates]
    places = [1 + len(tokenizer(text, add_special_tokens=False).input_ids) for text in before]
    ids = token_ids(pipe, [" ".join(template.replace("{}", " ").split()) for template in budget.templates])
    adam = torch.optim.AdamW([v], budget.lr, weight_decay=0.01)
    schedule = DDPMScheduler.from_config(pipe.scheduler.config)
    for _ in range(budget.steps):
        adam.zero_grad()
        for _ in range(ACCUMULATED):
            which, flipped, texts = (
                torch.randint(size, (MICRO_BATCH,), generator=rng) for size in (len(pictures), 2, len(ids))
            )
            shown = torch.stack([pictures[i].flip(-1) if f else pictures[i] for i, f in zip(which, flipped)])
            z0 = encoded(pipe, shown)
            t = torch.randint(len(schedule.alphas_cumprod), (MICRO_BATCH,), generator=rng)
            noise = torch.randn(z0.shape, generator=rng)
            rows = [(table[ids[text]], places[text]) for text in texts.tolist()]
            words = torch.stack([torch.cat([row[:place], v, row[place:-1]]) for row, place in rows])
            embeds = embedded(pipe.text_encoder, ids[texts], words)
            predicted = pipe.unet(schedule.add_noise(z0, noise, t), t, embeds).sample
            (F.mse_loss(predicted, noise) / ACCUMULATED).backward()
        adam.step()
    return v.detach()


@torch.no_grad()
def shown_with(pipe: Any, judge: Judge, prompt: EvaluationPrompt, v: Tensor, sampling: Sampling) -> bool:
    """Does the picture of ``prompt`` after ``v`` show the concept?"""
    ids = token_ids(pipe, [prompt.text])
    words = prefixed(pipe.text_encoder.get_input_embeddings().weight[ids], v[None])
    return bool(judge(draw(pipe, prompt, sampling, embedded(pipe.text_encoder, ids, words))))
