r"""AC, Concept Ablation (Kumari et al., ICCV 2023): the
concept's prompt is to give what its anchor's prompt gives.

    L = || eps(z_t, t, T(target)) - sg[ eps(z_t, t, T(anchor)) ] ||^2,   z_t a noised picture of the anchor

The answer to the anchor comes from the network in training itself. Keys and values
of cross-attention are trained. Model-based variant without prior preservation;
official ``concept-ablation/diffusers``. The paper erases styles by it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from advunlearn_lib.erasure.method import Method, Options
from advunlearn_lib.erasure.pictures import PictureOptions, Pictures
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


class ACOptions(PictureOptions):
    """AC's options."""

    group: str = "xattn-strict"
    iterations: int = Field(100, ge=0)
    lr: float = Field(1.6e-5, gt=0, description="learning rate")
    batch: int = Field(8, ge=1, description="pictures a step")
    per_prompt: int = Field(200, ge=1, description="pictures of each anchor prompt")


@METHODS.register("ac")
class AC(Method):
    """``surrogate`` holds the anchor prompt of each concept prompt."""

    OPTIONS = ACOptions
    LABEL = "AC"
    options: ACOptions

    @classmethod
    def needs(cls, options: Options) -> tuple[str, ...]:
        """The anchor."""
        return ("surrogate",)

    def __init__(self, task: Task, options: ACOptions) -> None:
        super().__init__(task, options)
        self.anchor = Pictures(task, task.surrogate, options.per_prompt, options, task.seed + 2)
        self.target = task.frozen.encode_prompts(task.concept)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW with the official weight decay."""
        return torch.optim.AdamW(self.trained.values(), lr=self.options.lr, weight_decay=0.01)

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """L above on a batch of anchor pictures."""
        batch = self.anchor.sample_batch(self.options.batch, generator)
        with torch.no_grad():
            answer = self.model.predict_noise(
                batch.latents, batch.timesteps, self.anchor.embeds[batch.prompt]
            )
        ours = self.model.predict_noise(batch.latents, batch.timesteps, self.target[batch.prompt])
        return F.mse_loss(ours, answer)
