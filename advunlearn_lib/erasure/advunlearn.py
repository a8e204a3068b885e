r"""AdvUnlearn (Zhang et al., NeurIPS 2024): erase against adversarial prompts, retain on the rest.

    upper level  min_theta  L_ESD(theta, c*)  +  gamma  E_r || eps(z_t, t, T(r)) - eps_0(z_t, t, r) ||^2
    lower level  c* = argmin over d of  || eps(z_t, t, T(c + d)) - eps_0(z_t, t, c) ||^2

d is one free token embedding (prefix), moved K steps against its gradient from a random vocabulary row, or
for the paper's Fast AT one step against the gradient's sign (FGSM). Each step, and the loss after them, sees
another z_t. gamma = 0 is AT-ESD. Paper: equations 4-6, algorithm 1; official
``train-scripts/AdvUnlearn.py``, ``utils/attack_util.py``, whose quirks are in ``official.py``. Cheaper inner
attacks, which are ours: ``cheaper_attack.py``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from advunlearn_lib.base.seeds import derived_seed
from advunlearn_lib.base.seeds import generator as seeded
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.replay import Replayed
from advunlearn_lib.diffusion.token_edit import Layout, place, token_count
from advunlearn_lib.erasure.advunlearn_options import AdvUnlearnOptions
from advunlearn_lib.erasure.bank import PathBatch
from advunlearn_lib.erasure.esd import ESD
from advunlearn_lib.erasure.method import Options
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


@METHODS.register("advunlearn")
class AdvUnlearn(ESD):
    """ESD whose concept prompt is attacked anew at each iteration, plus the retain loss."""

    OPTIONS = AdvUnlearnOptions
    LABEL = "AdvUnlearn"
    SLOW = True
    options: AdvUnlearnOptions

    @classmethod
    def needs(cls, options: Options) -> tuple[str, ...]:
        """A retain set, unless its loss has no weight."""
        return ("retain_set",) if isinstance(options, AdvUnlearnOptions) and options.retain_weight > 0 else ()

    def __init__(self, task: Task, options: AdvUnlearnOptions) -> None:
        super().__init__(task, options)
        self.counts = [token_count(row, task.frozen.tokenizer.eos_token_id) for row in self.ids]
        self.gradient = Replayed(gradient_at)
        self.retain = None
        if options.retain_weight > 0:
            self.retain = self.paths(task.retain_set, options.retain_per_prompt, task.seed + 1)
            self.retain_ids = task.frozen.tokenize(task.retain_set)

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """The upper level: erase against the attack, retain on the rest."""
        loss = self.attacked_loss(iteration, generator)
        if self.retain is not None:
            loss = loss + self.options.retain_weight * self.retain_loss(iteration, generator)
        return loss

    def attacked_loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """L_ESD(theta, c*): the lower level finds c*, once the warm-up is over."""
        which = self.choose_paths(generator)
        since = iteration - self.options.warm_up
        if since < 0 or self.options.attack_steps == 0:
            words = self.model.token_embeds(self.ids[self.bank.prompt_of(which)])
        elif self.options.free_attack:
            words = self.free(which, generator)
        else:
            words = self.attack(which, generator, since % self.options.attack_every == 0)
        ids = self.ids[self.bank.prompt_of(which)]
        return self.erase_loss(self.sample_points(which, generator), self.model.encode(ids, words))

    def attack(self, which: Tensor, generator: torch.Generator, due: bool = True) -> Tensor:
        """The lower level: token embeddings [b, l, d] of c*, one for the prompt of each path ``which``.

        Not differentiable. Where no attack is ``due``, the last one on each prompt.
        """
        options, prompts = self.options, self.bank.prompt_of(which)
        ids, counts = self.tokens(prompts)
        words, d = self.model.token_embeds(ids), self.start(prompts, counts, generator, fresh=due)
        if self.model.micro_batch:  # memory ran out
            self.gradient.give_up()
        what = {"model": self.model, "layout": options.layout, "points": options.attack_points}
        for _ in range(options.attack_steps if due else 0):
            batch = self.sample_points(which.repeat_interleave(options.attack_points), generator)
            tensors = (d, words, ids, batch.latents, batch.timesteps, batch.eps_prompt)
            self.descend(d, self.gradient(*tensors, counts=tuple(counts), **what))
        self.keep(prompts, d.detach())
        return place(words, d.detach(), counts, options.layout)

    def free(self, which: Tensor, generator: torch.Generator) -> Tensor:
        """The same by free adversarial training (Shafahi et al., NeurIPS 2019), differentiable in d.

        Each prompt's d stands from its last iteration on. The one backward pass of the upper level moves it a
        step up the loss that the model goes down.
        """
        prompts = self.bank.prompt_of(which)
        ids, counts = self.tokens(prompts)
        d = self.start(prompts, counts, generator, fresh=False)

        def ascend(gradient: Tensor) -> None:
            moved = d.detach().clone()
            self.descend(moved, -gradient)
            self.keep(prompts, moved)

        d.register_hook(ascend)
        return place(self.model.token_embeds(ids), d, counts, self.options.layout)

    def keep(self, prompts: Tensor, found: Tensor) -> None:
        """Remember ``found`` [b, k, d] as the last attack on each of ``prompts``."""
        self.state |= {f"d{prompt}": row.clone() for prompt, row in zip(prompts.tolist(), found, strict=True)}

    def descend(self, d: Tensor, gradient: Tensor) -> None:
        """One step of the attack, in place."""
        direction = gradient.sign() if self.options.attack_step == "sign" else gradient
        d.data -= self.options.attack_lr * direction

    def start(
        self, prompts: Tensor, counts: list[int], generator: torch.Generator, fresh: bool = True
    ) -> Tensor:
        """d [b, k, d] to begin with: random vocabulary rows, or each prompt's last attack.

        That with "latest", and where it need not be ``fresh``.
        """
        table = self.model.embedding_table()
        rows = max(counts) if self.options.layout == "add" else self.options.attack_tokens
        start = table[torch.randint(len(table), (len(prompts), rows), generator=generator)].detach().clone()
        if self.options.init == "latest" or not fresh:
            for row, prompt in enumerate(prompts.tolist()):
                last = self.state.get(f"d{prompt}", start[row])[:rows]
                start[row, : len(last)] = last
        return start.requires_grad_(True)

    def tokens(self, prompts: Tensor) -> tuple[Tensor, list[int]]:
        """Ids [b, l] of these concept prompts, and how many tokens each has between start and end."""
        return self.ids[prompts], [self.counts[prompt] for prompt in prompts]

    def sample_points(self, which: Tensor, generator: torch.Generator) -> PathBatch:
        """A random point on another path of each one's prompt; with ``same_path`` on ``which`` themselves."""
        if not self.options.same_path:
            which = self.bank.paths_of(self.bank.prompt_of(which), generator)
        return super().sample_points(which, generator)

    def retain_loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """|| eps(z_t, t, T(r)) - eps_0(z_t, t, r) ||^2 over the iteration's retain prompts."""
        assert self.retain is not None
        which = self.retain.paths_of(self.retain_prompts(iteration), generator)
        batch = self.points_on(self.retain, which, generator)
        embeds = self.model.encode(self.retain_ids[batch.prompt])
        return F.mse_loss(self.predict(batch, embeds), batch.eps_prompt)

    def retain_prompts(self, iteration: int) -> Tensor:
        """The next prompts of the retain set in random order.

        A new round begins where fewer than a batch are left.
        """
        count, batch = len(self.retain_ids), min(self.options.retain_batch, len(self.retain_ids))
        rounds, number = divmod(iteration, count // batch)
        order = torch.randperm(count, generator=seeded(derived_seed(self.task.seed + 2, rounds)))
        return order[number * batch :][:batch]


def gradient_at(
    d: Tensor, words: Tensor, ids: Tensor, latents: Tensor, timesteps: Tensor, eps_prompt: Tensor,
    model: LatentDiffusion, counts: tuple[int, ...], layout: Layout, points: int,
) -> Tensor:  # fmt: skip
    """The lower level's gradient [b, k, d] on ``model``; each ``d`` has a loss of its own, at ``points``."""
    d = d.detach().requires_grad_(True)
    embeds = model.encode(ids, place(words, d, counts, layout))
    predicted = model.predict_noise(latents, timesteps, embeds.repeat_interleave(points, 0))
    return torch.autograd.grad(len(d) * F.mse_loss(predicted, eps_prompt), d)[0]
