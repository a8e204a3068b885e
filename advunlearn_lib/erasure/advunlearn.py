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

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.seeds import derived_seed
from advunlearn_lib.base.seeds import generator as seeded
from advunlearn_lib.base.settings import marks
from advunlearn_lib.diffusion.token_edit import Layout, place, token_count
from advunlearn_lib.erasure.bank import PathBatch
from advunlearn_lib.erasure.cheaper_attack import CheaperAttackOptions
from advunlearn_lib.erasure.esd import ESD, ESDOptions
from advunlearn_lib.erasure.method import Options
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


class AdvUnlearnOptions(CheaperAttackOptions):
    """ESD's options and those of attack and retain regularisation."""

    QUIRKS: ClassVar[dict[str, str]] = ESDOptions.QUIRKS | {
        "word_count": "the concept's length is counted in words, so the second token of 'tench' is lost",
        "drop_last_update": "the attack returns the prompt from before its last update",
        "accumulate_gradients": "the attack sums its gradients over the K steps",
        "signed_buffer": "Fast AT, K > 1: a gradient's sign replaces it in the buffer of the next",
        "adam_attack": "the attack takes Adam's steps",
        "separate_retain_step": "the retain loss gets an optimiser step of its own, without gamma",
    }

    component: str = Field("text_encoder", json_schema_extra=marks(source="paper: its main results"))
    group: str = Field("full", json_schema_extra=marks(source="official default text_encoder_full"))
    attack_steps: int = Field(
        30,
        ge=0,
        description="K of the inner attack; 1 is Fast AT, 0 no attack",
        json_schema_extra=marks(smallest=2, source="paper, set-up of training"),
    )
    attack_lr: float = Field(
        0.001,
        gt=0,
        description="rate of the inner attack",
        json_schema_extra=marks(source="paper, set-up of training"),
    )
    attack_step: Literal["gradient", "sign"] = Field(
        "gradient",
        description="what the rate multiplies: the gradient, or its sign in each coordinate",
        json_schema_extra=marks(
            source="paper: gradient descent for K = 30, the gradient's sign for Fast AT alone"
        ),
    )
    attack_tokens: int = Field(
        1,
        ge=1,
        description="adversarial tokens",
        json_schema_extra=marks(room=True, source="paper, set-up of training: one prefix token"),
    )
    layout: Layout = Field(
        "prefix",
        description="where they stand: prefix, suffix, replace, add",
        json_schema_extra=marks(source="paper, table A4"),
    )
    init: Literal["random", "latest"] = Field(
        "random",
        description="where an inner attack starts",
        json_schema_extra=marks(source="official README's command for nudity (the code's default: latest)"),
    )
    warm_up: int = Field(
        200,
        ge=0,
        description="first iterations, without attack",
        json_schema_extra=marks(
            smallest=0, source="official default; the paper has none, whether its numbers had is *unknown*"
        ),
    )
    retain_weight: float = Field(
        0.3,
        ge=0,
        description="gamma (paper: 0.3 for nudity, 0.5 for styles and objects)",
        json_schema_extra=marks(source="paper, set-up of training"),
    )
    retain_batch: int = Field(
        5,
        ge=1,
        description="retain prompts a step",
        json_schema_extra=marks(at_once=True, source="paper, set-up of training"),
    )
    retain_per_prompt: int = Field(
        2,
        ge=1,
        description="sampling paths kept for each retain prompt",
        json_schema_extra=marks(
            scaled=True,
            smallest=1,
            source="ours; a prompt is drawn 20 times in 1000 iterations, officially with new noise each time",
        ),
    )
    same_path: bool = Field(
        False,
        description="the attack's steps and the loss after it walk one sampling path of the prompt",
        json_schema_extra=marks(
            source="official: new noise at each step of the attack, and again for the loss"
        ),
    )

    def official_quirks(self) -> frozenset[str]:
        """The official code's quirks: with Fast AT's buffer (K = 1), or with the other attack's.

        Without a separate retain step, which the README's command turns off (``reg``).
        """
        other = "accumulate_gradients" if self.attack_steps == 1 else "signed_buffer"
        return super().official_quirks() - {other, "separate_retain_step"}


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
        for _ in range(options.attack_steps if due else 0):
            batch = self.sample_points(which.repeat_interleave(options.attack_points), generator)
            embeds = self.model.encode(ids, place(words, d, counts, options.layout))
            embeds = embeds.repeat_interleave(options.attack_points, 0)
            loss = len(which) * F.mse_loss(self.predict(batch, embeds), batch.eps_prompt)  # each d its own
            self.descend(d, torch.autograd.grad(loss, d)[0])
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
