r"""AC, Concept Ablation (Kumari et al., ICCV 2023): a prompt in the style is to give what it gives without.

    L = || eps(z_t, t, T(P in the style of X)) - sg[ eps(z_t, t, T(P)) ] ||^2,   z_t a noised picture of P

P are the anchors, a list of painting prompts; the answer to P comes from the network
in training itself. Keys and values of cross-attention are trained, those of the
start token are detached, gradients are clipped, pictures are mirrored at random.
Model-based variant without prior preservation; official ``concept-ablation/diffusers``.
The paper erases styles by it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.settings import marks
from advunlearn_lib.diffusion.token_edit import check_room
from advunlearn_lib.erasure.method import Method, Options
from advunlearn_lib.erasure.pictures import PictureOptions, Pictures
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task

OFFICIAL = ("{anchor}, in the style of {name}", "in {name}'s style, {anchor}", "in {name}'s style, {anchor}")


class ACOptions(PictureOptions):
    """AC's options."""

    group: str = Field("xattn-strict", json_schema_extra=marks(source="official cross-attn"))
    iterations: int = Field(100, ge=0, json_schema_extra=marks(source="official, styles"))
    lr: float = Field(
        1.6e-05,
        gt=0,
        description="learning rate",
        json_schema_extra=marks(source="official 2e-6 for each of 8 pictures (--scale_lr)"),
    )
    batch: int = Field(
        8, ge=1, description="pictures a step", json_schema_extra=marks(source="official, 2 GPUs of 4")
    )
    per_prompt: int = Field(
        5,
        ge=1,
        description="pictures of each anchor",
        json_schema_extra=marks(source="1000 official pictures of 200 prompts"),
    )
    sampling_steps: int = Field(
        25, ge=1, description="denoising steps of these pictures", json_schema_extra=marks(source="official")
    )
    guidance_scale: float = Field(
        6.0, ge=0, description="of these pictures", json_schema_extra=marks(source="official")
    )
    anchors: tuple[str, ...] = Field(
        (), description="prompts P without the style", json_schema_extra=marks(smallest=("a painting",))
    )
    templates: tuple[str, ...] = Field(
        OFFICIAL, min_length=1, description="an anchor in the style; one is drawn"
    )


@METHODS.register("ac")
class AC(Method):
    """The first of ``task.names``, or of the concept's prompts, is X."""

    OPTIONS = ACOptions
    LABEL = "AC"
    MAX_GRADIENT_NORM = 1.0
    options: ACOptions

    @classmethod
    def needs(cls, options: Options) -> tuple[str, ...]:
        """The anchors."""
        return ("anchors",)

    def __init__(self, task: Task, options: ACOptions) -> None:
        name = [*task.names, *task.concept][0]
        texts = [
            template.format(anchor=p, name=name) for p in options.anchors for template in options.templates
        ]
        check_room(task.frozen, [*options.anchors, *texts], 0)  # cut off, a text would lose its style
        super().__init__(task, options)
        seed = task.seed + 2
        self.anchor = Pictures(task, list(options.anchors), options.per_prompt, options, seed, mirrored=True)
        embeds = task.frozen.encode_prompts(texts)
        self.target = embeds.view(len(options.anchors), len(options.templates), *embeds.shape[1:])
        self.hooks = [
            module.register_forward_hook(detach_start_token)
            for name, module in self.model.unet.named_modules()
            if name.endswith(("attn2.to_k", "attn2.to_v"))
        ]

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW with the official weight decay."""
        return torch.optim.AdamW(self.trained.values(), lr=self.options.lr, weight_decay=0.01)

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """L above on a batch of anchors' pictures."""
        batch = self.anchor.sample_batch(self.options.batch, generator)
        template = torch.randint(len(self.options.templates), batch.prompt.shape, generator=generator)
        anchor, target = self.anchor.embeds[batch.prompt], self.target[batch.prompt, template]
        with torch.no_grad():
            answer = self.model.predict_noise(batch.latents, batch.timesteps, anchor)
        return F.mse_loss(self.model.predict_noise(batch.latents, batch.timesteps, target), answer)

    def finish(self) -> None:
        """Plain keys and values again."""
        for hook in self.hooks:
            hook.remove()


def detach_start_token(module: Any, inputs: Any, output: Tensor) -> Tensor:
    """Keys or values [b, l, d] without a gradient through those of the start token."""
    return torch.cat([output[:, :1].detach(), output[:, 1:]], 1)
