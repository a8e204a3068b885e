"""Where the official code of ESD and AdvUnlearn departs from the paper: one subclass each, off by default.

A run whose options name quirks gets the subclass (``WITH_QUIRKS``). What each quirk means is said where it is
listed, at the options; ``docs/deviations.md`` compares paper and code, ``tests/reference`` holds both to it.
A method of another file that builds on ESD and wants ESD's quirks derives from :class:`OfficialESD`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from advunlearn_lib.erasure.advunlearn import AdvUnlearn
from advunlearn_lib.erasure.bank import PathBatch, Resampler
from advunlearn_lib.erasure.esd import ESD
from advunlearn_lib.erasure.method import WITH_QUIRKS, Part
from advunlearn_lib.erasure.parameters import select


class OfficialESD(ESD):
    """ESD with ``noise_level_mismatch`` and ``layer_prefix_match``."""

    def points_on(self, bank: Resampler, which: Tensor, generator: torch.Generator) -> PathBatch:
        """A point of one noise level, of which the models are told another."""
        if "noise_level_mismatch" not in self.options.quirks:
            return super().points_on(bank, which, generator)
        width, last = 1000 // self.options.steps, self.options.steps - 1
        step = torch.randint(self.options.steps, which.shape, generator=generator)
        timesteps = width * step + torch.randint(width, step.shape, generator=generator)
        return bank.with_timesteps(bank.at(which, (last + 2 - step).clamp(max=last)), timesteps)

    def choose_parameters(self) -> dict[str, torch.nn.Parameter]:
        """Layers whose names begin with a wanted one's."""
        component, slip = self.options.component, "layer_prefix_match" in self.options.quirks
        return select(getattr(self.model, component), component, self.options.group, slip)


class OfficialAdvUnlearn(AdvUnlearn, OfficialESD):
    """AdvUnlearn with its six quirks and ESD's two."""

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """Without the retain loss where that has a step of its own."""
        if "separate_retain_step" in self.options.quirks:
            return self.attacked_loss(iteration, generator)
        return super().loss(iteration, generator)

    def parts(self) -> tuple[Part, ...]:
        """The step on :meth:`loss`, then perhaps that on the retain loss, without gamma."""
        apart = self.retain is not None and "separate_retain_step" in self.options.quirks
        return (self.backward, self.backward_of_retaining) if apart else (self.backward,)

    def backward_of_retaining(self, iteration: int, generator: torch.Generator) -> float:
        """The retain loss's gradient."""
        return self.leave_gradient(self.retain_loss(iteration, generator))

    def tokens(self, prompts: Tensor) -> tuple[Tensor, list[int]]:
        """Words are counted, and as many tokens as are put in drop out after them."""
        if "word_count" not in self.options.quirks:
            return super().tokens(prompts)
        counts, k = [len(self.task.concept[prompt].split()) for prompt in prompts], self.options.attack_tokens
        rows = zip(self.ids[prompts], counts, strict=True)
        cut = [torch.cat([row[: 1 + n], row[1 + n + k :], row[-1:].expand(k)]) for row, n in rows]
        return torch.stack(cut), counts

    def start(
        self, prompts: Tensor, counts: list[int], generator: torch.Generator, fresh: bool = True
    ) -> Tensor:
        """Where the attack starts, with what :meth:`descend` remembers from step to step."""
        d = super().start(prompts, counts, generator, fresh)
        self.left, self.buffer = self.options.attack_steps, torch.zeros_like(d)
        self.adam = torch.optim.Adam([d], self.options.attack_lr)
        return d

    def descend(self, d: Tensor, gradient: Tensor) -> None:
        """A step along what the buffer holds, by Adam perhaps; the last one may be lost."""
        quirks, self.left = self.options.quirks, self.left - 1
        if "drop_last_update" in quirks and self.left == 0:
            return
        if quirks & {"accumulate_gradients", "signed_buffer"}:
            gradient = self.buffer + gradient
        self.buffer = gradient.sign() if "signed_buffer" in quirks else gradient
        if "adam_attack" in quirks:
            d.grad = self.buffer
            self.adam.step()
        else:
            super().descend(d, self.buffer)


WITH_QUIRKS |= {ESD: OfficialESD, AdvUnlearn: OfficialAdvUnlearn}
