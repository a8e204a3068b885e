r"""FMN, Forget-Me-Not (Zhang et al., 2023): starve the concept's tokens of attention.

    L = || A[:, concept tokens] ||_2,   A: cross-attention probabilities of all layers, heads and pixels

on noised pictures of the concept, whose prompts the UNet is fed; its output is not
used. Official ``forget-me-not`` ``patch_lora.py``, ``train_attn.py``. Its optional
textual inversion of a concept that has no name is left out: ours have names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.settings import marks
from advunlearn_lib.diffusion.classes import plain_attention
from advunlearn_lib.diffusion.token_edit import token_count
from advunlearn_lib.erasure.pictures import PictureMethod, PictureOptions
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


class FMNOptions(PictureOptions):
    """FMN's own options."""

    QUIRKS: ClassVar[dict[str, str]] = {
        "padding_positions": "all padding is suppressed too, as padding is the end token in SD v1.4"
    }

    iterations: int = Field(35, ge=0, json_schema_extra=marks(source="official attn.yaml"))
    lr: float = Field(
        2e-06, gt=0, description="learning rate", json_schema_extra=marks(source="official attn.yaml")
    )
    per_prompt: int = Field(
        8,
        ge=1,
        description="pictures kept for each concept prompt",
        json_schema_extra=marks(source="official data: a handful a concept"),
    )


@METHODS.register("fmn")
class FMN(PictureMethod):
    """Attention re-steering."""

    OPTIONS = FMNOptions
    LABEL = "FMN"
    MAX_GRADIENT_NORM = 1.0

    def __init__(self, task: Task, options: FMNOptions) -> None:
        super().__init__(task, options)
        fed = task.frozen.tokenize(task.forget_prompts)
        self.positions = torch.stack([self.concept_positions(row) for row in fed])
        self.seen: list[Tensor] = []
        processors = self.model.unet.attn_processors.items()
        # the fused one never forms A
        plain = {name: plain_attention() for name, _ in processors if ".attn2." in name}
        self.model.unet.set_attn_processor(dict(processors) | plain)
        for name, module in self.model.unet.named_modules():
            if name.endswith("attn2"):
                module.get_attention_scores = self.recorded(module.get_attention_scores)

    def optimizer(self) -> torch.optim.Optimizer:
        """AdamW with the official weight decay."""
        return torch.optim.AdamW(self.trained.values(), lr=self.options.lr, weight_decay=0.01)

    def recorded(self, scores: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """``scores`` that leaves what it returns, [b * heads, pixels, tokens], in ``seen``."""

        def score(*args: Any) -> Tensor:
            self.seen.append(scores(*args))
            return self.seen[-1]

        return score

    def concept_positions(self, ids: Tensor) -> Tensor:
        """bool [l]: where a name of the concept stands in a prompt; the whole prompt where none does."""
        tokenizer, row = self.frozen.tokenizer, ids.tolist()
        marked = torch.zeros(len(row), dtype=torch.bool)
        for name in self.task.names:
            words = tokenizer(name, add_special_tokens=False).input_ids
            for start in range(len(row) - len(words) + 1):
                if row[start : start + len(words)] == words:
                    marked[start : start + len(words)] = True
        length = token_count(ids, tokenizer.eos_token_id)
        if not marked.any():
            marked[1 : 1 + length] = True
        if "padding_positions" in self.options.quirks:
            marked[1 + length :] = True
        return marked

    def loss(self, iteration: int, generator: torch.Generator) -> Tensor:
        """The norm of each sample's attention to its concept tokens, averaged over the batch."""
        batch = self.sample_batch(generator)
        dtype, embeds = self.model.unet.dtype, self.forget.embeds[batch.prompt]
        self.seen.clear()
        with self.model.autocast():  # the whole batch at once: A is read layer by layer
            self.model.call_unet(batch.latents.to(dtype), batch.timesteps, embeds.to(dtype))
        marked = self.positions[batch.prompt].to(batch.latents)
        squares = [
            a.square().unflatten(0, (len(marked), -1)).sum((1, 2)) for a in self.seen
        ]  # [b, tokens] a layer
        self.seen.clear()
        return (torch.stack(squares).sum(0) * marked).sum(-1).sqrt().mean()

    def finish(self) -> None:
        """Give the attention layers their own method back."""
        for name, module in self.model.unet.named_modules():
            if name.endswith("attn2"):
                del module.get_attention_scores
