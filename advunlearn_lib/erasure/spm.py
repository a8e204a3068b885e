r"""SPM, one-dimensional adapter (Lyu et al., CVPR 2024): a rank-1 adapter that erases.

    L = || eps(z_t, t, c) - [ e_n - eta (e_p - e_n) ] ||^2  +  w || eps(z_t, t, a) - eps_0(z_t, t, a) ||^2

e_n, e_p are frozen answers to "" and to c; anchors a are random vectors as long as the concept's embedding.
Adapters sit on every linear and convolution of the transformer blocks. They are merged into the weights at
the end, as the AdvUnlearn paper attacks them: without SPM's facilitated transport, by which an adapter weighs
itself by the prompt. Official ``SPM/src/engine/train_util.py``, ``models/spm.py``. z_t comes from the bank,
as ESD's, not from the adapted UNet.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.settings import marks
from advunlearn_lib.erasure.bank import PathBatch
from advunlearn_lib.erasure.esd import ESD, ESDOptions
from advunlearn_lib.erasure.registry import METHODS

LAYERS = r"to_q|to_k|to_v|to_out\.0|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out"
PLACES = rf".*attentions\.\d+\..*({LAYERS})|.*attentions\.\d+\.proj_(in|out)"


class SPMOptions(ESDOptions):
    """SPM's own options."""

    QUIRKS: ClassVar[dict[str, str]] = {
        "blank_anchors": "every second anchor is the empty prompt",
        "told_timestep": "the UNet is told t = 999 - 1000 r / steps after r steps of the path",
    }

    group: str = "adapter"
    iterations: int = Field(3000, ge=0, json_schema_extra=marks(source="official"))
    lr: float = Field(0.0001, gt=0, description="learning rate", json_schema_extra=marks(source="official"))
    steps: int = Field(
        30, ge=2, description="DDIM steps of the sampling path", json_schema_extra=marks(source="official")
    )
    rate_warm_up: int = Field(
        500,
        ge=0,
        description="first iterations, in which the learning rate rises",
        json_schema_extra=marks(scaled=True, source="official"),
    )
    rate_cycles: int = Field(
        3, ge=1, description="cosines that it falls by after them", json_schema_extra=marks(source="official")
    )
    anchor_batch: int = Field(
        4, ge=1, description="random anchors a step", json_schema_extra=marks(at_once=True, source="official")
    )
    anchor_weight: float = Field(
        1000.0, ge=0, description="weight of their loss", json_schema_extra=marks(source="official")
    )


@METHODS.register("spm")
class SPM(ESD):
    """ESD's loss on rank-1 adapters, plus the anchors'."""

    OPTIONS = SPMOptions
    LABEL = "SPM"
    options: SPMOptions

    def choose_parameters(self) -> dict[str, torch.nn.Parameter]:
        """The adapter's own."""
        from peft import LoraConfig  # takes seconds

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.task.seed)
            self.model.unet.add_adapter(LoraConfig(r=1, lora_alpha=1, target_modules=PLACES))
        return {name: parameter for name, parameter in self.model.unet.named_parameters() if "lora_" in name}

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.trained.values(), lr=self.options.lr)

    def rate_factor(self, iteration: int) -> float:
        """Linear warm-up, then a cosine to zero, restarted ``rate_cycles`` times in all."""
        rise, total = self.options.rate_warm_up, self.options.iterations
        if iteration < rise:
            return iteration / rise
        progress = (iteration - rise) / max(1, total - rise)
        return 0.5 * (1 + math.cos(math.pi * (self.options.rate_cycles * progress % 1)))

    def sample_points(self, which: Tensor, generator: torch.Generator) -> PathBatch:
        """A random point on each path after its first step.

        With the quirk the models are told another timestep.
        """
        step = torch.randint(1, self.options.steps, which.shape, generator=generator)
        batch = self.bank.at(which, step)
        if "told_timestep" not in self.options.quirks:
            return batch
        return self.bank.with_timesteps(batch, 999 - 1000 * step // self.options.steps)

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """ESD's loss and the anchors', which share its samples' z_t and t."""
        batch = self.sample_points(self.choose_paths(generator), generator)
        erase = self.erase_loss(batch, self.model.encode(self.ids[batch.prompt]))
        row = torch.arange(self.options.anchor_batch) % len(batch.latents)
        latents, timesteps = batch.latents[row], batch.timesteps[row]
        anchors = self.random_anchors(batch.prompt[row], generator)
        target = self.frozen.predict_noise(latents, timesteps, anchors)
        stay = F.mse_loss(self.model.predict_noise(latents, timesteps, anchors), target)
        return erase + self.options.anchor_weight * stay

    def random_anchors(self, prompt: Tensor, generator: torch.Generator) -> Tensor:
        """Gaussian directions [b, l, d] of 0.8 to 1.2 times the norm of the concept prompts' embeddings."""
        embeds = self.frozen.encode(self.ids[prompt])
        direction = torch.randn(embeds.shape, generator=generator).to(embeds)
        length = 0.8 + 0.4 * torch.rand(len(embeds), 1, 1, generator=generator).to(embeds)
        norms = [tensor.flatten(1).norm(dim=1)[:, None, None] for tensor in (direction, embeds)]
        anchors = direction / norms[0] * norms[1] * length
        if "blank_anchors" in self.options.quirks:
            anchors[::2] = self.frozen.unconditional()
        return anchors

    def finish(self) -> None:
        """Merge the adapter, so that the UNet is a plain one again."""
        self.model.unet.fuse_lora()
        self.model.unet.unload_lora()
