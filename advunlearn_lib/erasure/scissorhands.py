r"""SH, ScissorHands (Wu and Harandi, ECCV 2024): cut the weights the concept hangs on, then heal the rest.

    cut   s = | grad l_DDPM(forget) * theta |;  weights with s above its ``sparsity`` quantile are drawn anew
    heal  g = grad( l_r + beta l_f ),  or on objects  g = grad( l_r - beta l_DDPM(forget) )
          h = grad l_DDPM(forget);  if < g, h > > 0:  g <- g - <g, h> / ||h||^2 h

so that no healing step makes the concept's pictures likelier again (gradient projection as in GEM with one
memory). l_f, l_r as in ``pictures.py``. The official code cuts objects by the gradient of the guided loss,
defines the projection and never calls it, and draws anew only inside two self-attention layers.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.settings import marks
from advunlearn_lib.erasure.method import Options
from advunlearn_lib.erasure.parameters import kth_smallest
from advunlearn_lib.erasure.pictures import Relabelling, RelabellingOptions
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task

LOCAL = ("up_blocks.1.attentions.1.", "up_blocks.2.attentions.1.")  # CompVis' output blocks 4 and 7


class ScissorHandsOptions(RelabellingOptions):
    """ScissorHands' own options."""

    QUIRKS: ClassVar[dict[str, str]] = {
        "no_projection": "the gradient projection is left out",
        "self_attention_only": "weights are drawn anew only in self-attention of output blocks 4 and 7",
    }

    iterations: int = Field(
        250, ge=0, json_schema_extra=marks(source="official: 5 epochs of 800 pictures (nudity)")
    )
    batch: int = Field(
        16, ge=1, description="pictures a step", json_schema_extra=marks(source="official, nudity")
    )
    sparsity: float = Field(
        0.995,
        gt=0,
        lt=1,
        description="share of weights that stay",
        json_schema_extra=marks(source="official, nudity"),
    )
    heal: Literal["relabel", "ascend"] = Field(
        "relabel",
        description="how forgetting goes on (ascend: objects)",
        json_schema_extra=marks(source="official: relabel for nudity"),
    )
    beta: float = Field(
        0.1,
        ge=0,
        description="weight of forgetting while healing",
        json_schema_extra=marks(source="official"),
    )
    guided_cut: bool = Field(
        False,
        description="the sensitivity is the guided loss's (objects)",
        json_schema_extra=marks(source="official: plain for nudity"),
    )
    snip_batches: int = Field(
        10,
        ge=1,
        description="batches that the sensitivity is summed over",
        json_schema_extra=marks(smallest=1, source="official"),
    )
    redraw_slope: float = Field(
        0.0,
        ge=0,
        description="slope a of the Kaiming-uniform values drawn anew (objects: sqrt 5)",
        json_schema_extra=marks(source="official: 0 for nudity"),
    )


@METHODS.register("scissorhands")
class ScissorHands(Relabelling):
    """Cut once, then heal."""

    OPTIONS = ScissorHandsOptions
    LABEL = "SH"
    options: ScissorHandsOptions

    @classmethod
    def needs(cls, options: Options) -> tuple[str, ...]:
        """What remains; where it relabels, what to show instead."""
        relabels = isinstance(options, ScissorHandsOptions) and options.heal == "relabel"
        return ("remain_prompts", "surrogate") if relabels else ("remain_prompts",)

    def __init__(self, task: Task, options: ScissorHandsOptions) -> None:
        super().__init__(task, options)
        generator = torch.Generator().manual_seed(task.seed)
        self.cut = self.connection_sensitivity(generator)
        redraw(self.trained, self.cut, options.redraw_slope, generator)

    def connection_sensitivity(self, generator: torch.Generator) -> list[Tensor]:
        """SNIP: for each parameter, which weights matter most.

        Those above the quantile of |gradient * weight| over all of them.
        """
        total = [torch.zeros_like(parameter) for parameter in self.trained.values()]
        for _ in range(self.options.snip_batches):
            batch = self.sample_batch(generator)
            guided = self.options.guided_cut
            loss = self.guided_loss(batch) if guided else self.denoising_loss(self.forget, batch)
            for sum_, gradient in zip(total, self.gradients(loss), strict=True):
                sum_ += gradient.abs_()
        pairs = zip(total, self.trained.values(), strict=True)
        scores = [sum_.mul_(parameter.detach().abs()) for sum_, parameter in pairs]
        count = sum(score.numel() for score in scores)
        threshold = kth_smallest(scores, max(1, round(self.options.sparsity * count)))
        local = "self_attention_only" in self.options.quirks
        inside = [not local or (".attn1." in name and name.startswith(LOCAL)) for name in self.trained]
        return [(score > threshold) & allowed for score, allowed in zip(scores, inside, strict=True)]

    def backward(self, iteration: int, generator: torch.Generator) -> float:
        """The projected gradient."""
        remain, batch = self.remain_loss(generator), self.sample_batch(generator)
        if self.options.heal == "relabel":
            loss = remain + self.options.beta * self.forget_loss(batch)
        else:
            loss = remain - self.options.beta * self.denoising_loss(self.forget, batch)
        gradient = self.gradients(loss)
        if "no_projection" not in self.options.quirks:
            memory = self.denoising_loss(self.forget, self.sample_batch(generator))
            gradient = project(gradient, self.gradients(memory))
        self.set_gradients(gradient)
        return loss.item()


@torch.no_grad()
def redraw(
    parameters: dict[str, torch.nn.Parameter], cut: list[Tensor], slope: float, generator: torch.Generator
) -> None:
    """Fresh values for the weights that were cut.

    Kaiming-uniform ones, within sqrt( 6 / ((1 + slope^2) fan-in) ), for cut weights of matrices and kernels,
    zero for cut biases, one for cut norm scales.
    """
    for (name, parameter), mask in zip(parameters.items(), cut, strict=True):
        if parameter.ndim > 1:
            empty = torch.empty(parameter.shape)
            fresh = torch.nn.init.kaiming_uniform_(empty, slope, generator=generator).to(parameter)
        else:
            fresh = torch.full_like(parameter, float("norm" in name and name.endswith("weight")))
        parameter[mask] = fresh[mask]


def project(gradient: list[Tensor], memory: list[Tensor]) -> list[Tensor]:
    """The nearest vector to ``gradient`` with a non-positive product with ``memory``.

    It is written in ``gradient``'s own place.
    """
    dot = sum(float((a * b).sum()) for a, b in zip(gradient, memory, strict=True))
    if dot > 0:
        square = sum(float(b.square().sum()) for b in memory)
        for a, b in zip(gradient, memory, strict=True):
            a.sub_(b, alpha=dot / (square + 1e-12))
    return gradient
