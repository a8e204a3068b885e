r"""ED, EraseDiff (Wu et al., 2024): remember as far as forgetting is not hurt, a bi-level problem.

    min_theta l_r(theta)  subject to  q(theta) = l_f(theta) - l_f(phi_K) <= 0,  phi_K: K steps on l_f
    step    theta <- theta - lr ( grad l_r + lambda grad q )
    lambda  max( 0, eta q - <grad l_r, grad q> ) / || grad q ||^2

BOME's dynamic barrier with barrier function eta q and phi_K held constant; the K inner steps are Adam's at
the outer rate, as the official code's, whose K counts passes over the forget set. l_f, l_r as in
``pictures.py``; lambda is logged. The official ``nsfw_removal.py`` runs the inner steps, throws their weights
away and keeps lambda fixed: relabelling.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.settings import marks
from advunlearn_lib.erasure.pictures import Relabelling, RelabellingOptions
from advunlearn_lib.erasure.registry import METHODS


class EraseDiffOptions(RelabellingOptions):
    """EraseDiff's own options."""

    QUIRKS: ClassVar[dict[str, str]] = {
        "discarded_inner_loop": "the inner steps change nothing and lambda is 1"
    }

    group: str = Field("noxattn", json_schema_extra=marks(source="official nudity script"))
    iterations: int = Field(
        160, ge=0, json_schema_extra=marks(source="official README: step 160 is enough (nudity)")
    )
    batch: int = Field(
        16, ge=1, description="pictures a step", json_schema_extra=marks(source="official nudity script")
    )
    inner_steps: int = Field(
        2,
        ge=1,
        description="K",
        json_schema_extra=marks(smallest=1, source="official nudity script: K passes"),
    )
    eta: float = Field(
        1.0,
        gt=0,
        description="of the barrier",
        json_schema_extra=marks(source="*unknown*: the official code has no barrier"),
    )
    pseudo: str = Field("", description="a prompt whose answer is learned instead of the surrogate's")


@METHODS.register("erasediff")
class EraseDiff(Relabelling):
    """Relabelling with a multiplier that forgetting sets."""

    OPTIONS = EraseDiffOptions
    LABEL = "ED"
    options: EraseDiffOptions

    def surrogates(self) -> list[str]:
        """The pseudo prompt, if there is one."""
        pseudo = self.options.pseudo
        return [pseudo] * len(self.task.forget_prompts) if pseudo else super().surrogates()

    def inner(self, generator: torch.Generator) -> float:
        """l_f(phi_K) on this iteration's batch.

        phi_K comes from K steps of Adam, then the weights are put back.
        """
        trained = list(self.trained.values())
        kept = [parameter.detach().clone() for parameter in trained]
        adam = torch.optim.Adam(trained, lr=self.options.lr)
        try:
            for _ in range(self.options.inner_steps):
                gradients = self.gradients(self.forget_loss(self.sample_batch(generator)))
                for parameter, gradient in zip(trained, gradients, strict=True):
                    parameter.grad = gradient
                adam.step()
            with torch.no_grad():
                return self.forget_loss(self.now).item()
        finally:  # also where memory runs out: the iteration is then done again
            adam.zero_grad()
            with torch.no_grad():
                for parameter, value in zip(trained, kept, strict=True):
                    parameter.copy_(value)

    def backward(self, iteration: int, generator: torch.Generator) -> float:
        """grad l_r + lambda grad q.

        The inner steps go first: a UNet's gradients are large, and more of them are held later.
        """
        self.now = self.sample_batch(generator)
        kept = self.remain.sample_batch(self.options.batch, generator)
        discarded = "discarded_inner_loop" in self.options.quirks
        reached = 0.0 if discarded else self.inner(generator)
        remain = self.denoising_loss(self.remain, kept)
        remember = self.gradients(remain)
        forget = self.forget_loss(self.now)
        unlearn = self.gradients(forget)
        barrier = self.options.eta * (forget.item() - reached)
        weight = 1.0 if discarded else multiplier(remember, unlearn, barrier)
        self.numbers = {"lambda": weight}
        for first, second in zip(remember, unlearn, strict=True):
            first.add_(second, alpha=weight)
        self.set_gradients(remember)
        return (remain + weight * forget).item()


def multiplier(remember: list[Tensor], unlearn: list[Tensor], barrier: float) -> float:
    """lambda: the least weight with < grad l_r + lambda grad q, grad q > >= barrier."""
    dot = sum(float((a * b).sum()) for a, b in zip(remember, unlearn, strict=True))
    square = sum(float(b.square().sum()) for b in unlearn)
    return max(0.0, barrier - dot) / (square + 1e-12)
