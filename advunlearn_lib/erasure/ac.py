r"""AC, Concept Ablation (Kumari et al., ICCV 2023): the concept's prompt is to give what its anchor's prompt gives.

    L = || eps(z_t, t, T(target)) - sg[ eps(z_t, t, T(anchor)) ] ||^2,   z_t a noised picture of the anchor

The answer to the anchor comes from the network in training itself. Keys and values of cross-attention are trained.
Model-based variant without prior preservation; official ``concept-ablation/diffusers``. The paper erases styles by it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from advunlearn_lib.erasure.base import Method, Task
from advunlearn_lib.erasure.pictures import PictureOptions, Pictures


class ACOptions(PictureOptions):
    """AC's options."""

    group: str = "xattn-strict"


class AC(Method):
    """``surrogate`` holds the anchor prompt of each concept prompt."""

    OPTIONS = ACOptions
    options: ACOptions

    def __init__(self, task: Task, options: ACOptions) -> None:
        super().__init__(task, options)
        self.anchor = Pictures(task, self.needs("surrogate"), options.per_prompt, options, task.seed + 2)
        self.target = task.frozen.encode_prompts(task.concept)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW with the official weight decay."""
        return torch.optim.AdamW(self.trained.values(), lr=self.options.lr, weight_decay=0.01)

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """L above on a batch of anchor pictures."""
        draw = self.anchor.draw(self.options.batch, generator)
        with torch.no_grad():
            answer = self.model.predict_noise(draw.latents, draw.timesteps, self.anchor.embeds[draw.prompt])
        return F.mse_loss(self.model.predict_noise(draw.latents, draw.timesteps, self.target[draw.prompt]), answer)
