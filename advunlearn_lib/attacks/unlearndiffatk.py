r"""UnlearnDiffAtk (Zhang et al., ECCV 2024): discrete prefix tokens by the model's own diffusion loss.

    min over p of  E_eps || eps - eps_theta( sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps, t, T([o(p), prompt]) ) ||^2

z_0 is a picture of the concept (the original model's, same prompt and seed). Each of k rows of p is a distribution
over the vocabulary; o(p) samples a token from it and passes the gradient straight through; Adam steps, then exact
projection to the simplex. Timesteps ascend; after each one the arg-max tokens are decoded to text, the text is
tokenised again, and the judged picture decides. AdvUnlearn paper, appendix C; official ``attackers/text_grad.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from advunlearn_lib.attacks.base import AttackedPrompt, Budget, Judge, PromptResult, judge_prompts
from advunlearn_lib.model import LatentDiffusion, Sampling
from advunlearn_lib.progress import tqdm
from advunlearn_lib.prompts import check_room, with_prefix

FIRST, LAST = 10, 990  # the paper's timesteps 10, 30, ..., 990; a smaller budget takes evenly spaced ones of them


def project_to_simplex(rows: Tensor) -> Tensor:
    """Euclidean projection of each row onto {p >= 0, sum p = 1}, by sorting (Duchi et al. 2008)."""
    ordered = rows.sort(-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    rank = torch.arange(1, rows.shape[-1] + 1, device=rows.device)
    last = ((ordered - excess / rank) > 0).sum(-1, keepdim=True)
    return (rows - excess.gather(-1, last - 1) / last).clamp(min=0)


class Search:
    """The optimisation state of the prompts still unbroken, one generator a prompt."""

    def __init__(self, model: LatentDiffusion, prompts: Sequence[AttackedPrompt], targets: Tensor, budget: Budget, seed: int) -> None:
        self.model, self.budget, self.prompts, self.targets = model, budget, list(prompts), targets
        self.ids = model.tokenize([prompt.text for prompt in prompts])
        special = {model.tokenizer.bos_token_id, model.tokenizer.eos_token_id}
        table = model.text_encoder.get_input_embeddings().weight.detach()
        self.vocabulary = torch.tensor([i for i in range(len(table)) if i not in special], device=table.device)
        self.table = table[self.vocabulary]
        size = len(self.vocabulary)
        self.p = torch.full((len(prompts), budget.tokens, size), 1 / size, device=table.device).requires_grad_(True)
        self.optimizer = torch.optim.Adam([self.p], budget.lr, weight_decay=budget.weight_decay)
        self.generators = [torch.Generator().manual_seed(hash_seed(seed, prompt)) for prompt in prompts]

    def keep(self, rows: list[int]) -> None:
        """Forget all prompts but ``rows``."""
        state = self.optimizer.state.pop(self.p, {})
        self.p = self.p.detach()[rows].requires_grad_(True)
        self.optimizer = torch.optim.Adam([self.p], self.budget.lr, weight_decay=self.budget.weight_decay)
        if state:
            self.optimizer.state[self.p] = {k: v[rows] if v.ndim == 3 else v for k, v in state.items()}
        self.ids, self.targets = self.ids[rows], self.targets[rows]
        self.prompts, self.generators = [self.prompts[i] for i in rows], [self.generators[i] for i in rows]

    def step(self, timestep: int) -> None:
        """One gradient step of every prompt."""
        with torch.no_grad():
            sampled = torch.stack([torch.multinomial(p.cpu(), 1, generator=g)[:, 0] for p, g in zip(self.p, self.generators, strict=True)])
            noise = torch.stack([torch.randn(self.targets.shape[1:], generator=g) for g in self.generators]).to(self.targets)
            one_hot = torch.nn.functional.one_hot(sampled.to(self.p.device), self.p.shape[-1]).to(self.table.dtype)
        one_hot.requires_grad_(True)
        embeds = self.model.token_embeds(self.ids)
        prefixed = torch.cat([embeds[:, :1], one_hot @ self.table, embeds[:, 1:]], 1)[:, : embeds.shape[1]]
        timesteps = torch.full((len(noise),), timestep, device=noise.device)
        noisy = self.model.add_noise(self.targets, noise, timesteps)
        predicted = self.model.predict_noise(noisy, timesteps, self.model.encode(self.ids, prefixed))
        loss = (predicted - noise).square().mean((1, 2, 3)).sum()  # a sum over prompts: their gradients do not mix
        (gradient,) = torch.autograd.grad(loss, one_hot)
        self.p.grad = gradient.clamp(-1, 1).float()
        self.optimizer.step()
        self.p.data = project_to_simplex(self.p.data)

    def texts(self) -> list[str]:
        """Each prompt with its arg-max tokens before it, as text."""
        best = self.vocabulary[self.p.detach().argmax(-1)]
        return [with_prefix(self.model, row.tolist(), prompt.text) for row, prompt in zip(best, self.prompts, strict=True)]


def hash_seed(seed: int, prompt: AttackedPrompt) -> int:
    """A generator seed that depends on the prompt alone, not on its place in a batch."""
    return (seed * 7_368_787 + prompt.seed * 31 + sum(ord(c) * (i + 1) for i, c in enumerate(prompt.text))) % 2**31


def unlearndiffatk(
    model: LatentDiffusion,
    prompts: Sequence[AttackedPrompt],
    targets: Tensor,
    judge: Judge,
    budget: Budget,
    sampling: Sampling,
    seed: int = 0,
    callback: Callable[[dict[str, float]], object] | None = None,
) -> list[PromptResult]:
    """Attack ``prompts``; ``targets`` are latents z_0 [n, c, h, w] of the concept, one a prompt.

    Prompts run in batches of ``budget.batch`` and leave their batch when broken; the batch size does not change what
    happens to a prompt. Raises :class:`UserError` for prompts without tokens or too long for ``budget.tokens`` more.
    """
    check_room(model, [prompt.text for prompt in prompts], budget.tokens)
    before = judge_prompts(model, judge, [p.text for p in prompts], [p.seed for p in prompts], sampling, budget.batch).tolist()
    results = {i: result(p, True, True, p.text, 0) for i, p in enumerate(prompts) if before[i]}
    robust = [i for i in range(len(prompts)) if not before[i]]
    bar = tqdm(total=len(prompts), initial=len(results), desc="attack", leave=False)
    for start in range(0, len(robust), budget.batch):
        alive = robust[start : start + budget.batch]
        search = Search(model, [prompts[i] for i in alive], targets[alive], budget, seed)
        for judged, timestep in enumerate(torch.linspace(FIRST, LAST, budget.timesteps).round().int().tolist(), 1):
            for _ in range(budget.steps):
                search.step(timestep)
            texts = search.texts()
            broken = judge_prompts(model, judge, texts, [p.seed for p in search.prompts], sampling, budget.batch).tolist()
            for i, text, success in zip(alive, texts, broken, strict=True):
                if success or judged == budget.timesteps:
                    results[i] = result(prompts[i], False, success, text, judged if success else -1)
            left = [row for row, success in enumerate(broken) if not success]
            bar.update(len(alive) - len(left))
            if callback is not None:
                callback({"timestep": timestep, "alive": len(left)})
            if not left:
                break
            if len(left) < len(alive):
                search.keep(left)
                alive = [alive[row] for row in left]
    bar.close()
    return [results[i] for i in range(len(prompts))]


def result(prompt: AttackedPrompt, before: bool, after: bool, text: str, step: int) -> PromptResult:
    """One prompt's outcome."""
    return PromptResult(prompt=prompt.text, seed=prompt.seed, before=before, after=after, adversarial=text, step=step)
