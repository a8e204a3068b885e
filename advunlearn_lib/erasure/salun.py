r"""SalUn, saliency unlearning (Fan et al., ICLR 2024): relabel through the weights that matter.

Those that matter to the concept are trained alone.

    mask  m = 1[ |grad of l_DDPM(forget pictures)| is among the top half of all weights ]
    step  theta <- theta - lr * m * grad( l_f + alpha l_r )

l_f, l_r as in ``pictures.py``. Official ``SD/train-scripts/{generate_mask,nsfw_removal,random_label}.py``.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.settings import marks
from advunlearn_lib.erasure.parameters import kth_smallest
from advunlearn_lib.erasure.pictures import Relabelling, RelabellingOptions
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


class SalUnOptions(RelabellingOptions):
    """SalUn's own options."""

    QUIRKS: ClassVar[dict[str, str]] = {
        "guided_mask": "the mask's gradient is of the guided prediction, scale 7.5"
    }

    iterations: int = Field(
        100, ge=0, json_schema_extra=marks(source="official: one epoch of 800 pictures (nudity)")
    )
    batch: int = Field(8, ge=1, description="pictures a step", json_schema_extra=marks(source="official"))
    alpha: float = Field(
        0.1,
        ge=0,
        description="weight of the remaining pictures' loss",
        json_schema_extra=marks(source="official, nudity"),
    )
    share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of weights that may move",
        json_schema_extra=marks(source="official"),
    )
    mask_batches: int = Field(
        100,
        ge=1,
        description="batches that the mask's gradient is summed over",
        json_schema_extra=marks(smallest=1, source="official: one epoch"),
    )


@METHODS.register("salun")
class SalUn(Relabelling):
    """Relabelling under a saliency mask."""

    OPTIONS = SalUnOptions
    LABEL = "SalUn"
    options: SalUnOptions

    def __init__(self, task: Task, options: SalUnOptions) -> None:
        super().__init__(task, options)
        self.mask = self.saliency()

    def saliency(self) -> list[Tensor]:
        """One 0/1 mask a parameter: which weights have a large sum of gradients.

        Large is |sum| at or above its (1 - share) quantile over all of them.
        """
        generator = torch.Generator().manual_seed(self.task.seed)
        total = [torch.zeros_like(parameter) for parameter in self.trained.values()]
        for _ in range(self.options.mask_batches):
            batch = self.sample_batch(generator)
            guided = "guided_mask" in self.options.quirks
            loss = self.guided_loss(batch) if guided else self.denoising_loss(self.forget, batch)
            for sum_, gradient in zip(total, self.gradients(loss), strict=True):
                sum_ += gradient
        scores = [value.abs_() for value in total]
        count = sum(score.numel() for score in scores)
        threshold = kth_smallest(scores, count - max(1, round(self.options.share * count)) + 1)
        return [score >= threshold for score in scores]

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """l_f + alpha l_r."""
        return self.forget_loss(self.sample_batch(generator)) + self.options.alpha * self.remain_loss(
            generator
        )

    def backward(self, iteration: int, generator: torch.Generator) -> float:
        """The gradient under the mask."""
        value = super().backward(iteration, generator)
        for parameter, mask in zip(self.trained.values(), self.mask, strict=True):
            if parameter.grad is not None:
                parameter.grad *= mask
        return value
