r"""UCE, Unified Concept Editing (Gandikota et al., WACV 2024): one closed-form edit of cross-attention.

    W' = ( lam W + s_e sum_i W g_i c_i^T + s_p sum_j W p_j p_j^T )
         ( lam I + s_e sum_i c_i c_i^T + s_p sum_j p_j p_j^T )^-1

for every to_k and to_v: the concept's token embeddings c are made to answer as the guide's g, the preserved
p keep their answers. Official ``train_erase.py`` (2023, the paper's year): c and g from the last words of
their texts to the end, p of all positions of the empty prompt and, of styles, of the other artists. Official
``uce_sd_erase.py`` (2025): each text's last token alone; nothing is preserved unless it is asked for.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.settings import marks
from advunlearn_lib.diffusion.token_edit import token_count
from advunlearn_lib.erasure.method import Method, Options
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


class UCEOptions(Options):
    """UCE's own options; it has no iterations."""

    group: str = "xattn-strict"
    iterations: int = Field(0, ge=0, le=0, json_schema_extra=marks(smallest=0))
    version: Literal[2023, 2025] = Field(
        2023, description="which of the official codes", json_schema_extra=marks(source="the paper's year")
    )
    lam: float = Field(
        0.5,
        gt=0,
        description="how much the old weights count",
        json_schema_extra=marks(source="official, both"),
    )
    erase_scale: float = Field(
        1.0, gt=0, description="... the concept", json_schema_extra=marks(source="official, both")
    )
    preserve: bool = Field(
        False,
        description="keep the retain set's answers too",
        json_schema_extra=marks(
            source="official, both; in 2023 the empty prompt and the other artists are preserved anyway"
        ),
    )
    preserve_scale: float | None = Field(
        None,
        ge=0,
        description="how much the n preserved texts count (null: max(0.1, 1/n); of 2025: 1)",
        json_schema_extra=marks(source="official"),
    )
    guide: str = Field(
        "",
        description="what the concept's tokens are made to mean",
        json_schema_extra=marks(source="official, objects and unsafe"),
    )
    also: tuple[str, ...] = Field((), description="texts that are edited besides the concept's prompts")
    preserved: tuple[str, ...] = Field(
        (), description="texts that the code of 2023 keeps too, but for the concept's own names"
    )


@METHODS.register("uce")
class UCE(Method):
    """The edit is made at once; the loop has nothing to do."""

    OPTIONS = UCEOptions
    LABEL = "UCE"
    options: UCEOptions

    def __init__(self, task: Task, options: UCEOptions) -> None:
        super().__init__(task, options)
        guide = self.tokens(options.guide)
        concept = [self.tokens(prompt) for prompt in (*task.concept, *options.also)]
        lengths = [min(len(tokens), len(guide)) for tokens in concept]  # aligned at their last words
        c = torch.cat([tokens[:length] for tokens, length in zip(concept, lengths, strict=True)])
        g = torch.cat([guide[:length] for length in lengths])
        kept = self.preserved()
        scale = options.preserve_scale
        if scale is None:
            scale = 1.0 if options.version == 2025 else max(0.1, 1 / len(kept))
        p = self.kept_tokens(kept) if kept else c[:0]
        factor = change(c, g, p, options.lam, options.erase_scale, scale)
        for parameter in self.trained.values():
            parameter.data = (parameter.data.double() @ factor).to(parameter.dtype)

    @classmethod
    def needs(cls, options: Options) -> tuple[str, ...]:
        """A retain set, if it is to be kept."""
        return ("retain_set",) if isinstance(options, UCEOptions) and options.preserve else ()

    def preserved(self) -> list[str]:
        """The texts whose answers are kept."""
        retain = self.task.retain_set if self.options.preserve else []
        if self.options.version == 2025:
            return retain
        own = {text.lower() for text in (*self.task.names, *self.task.concept)}
        return ["", *(text for text in self.options.preserved if text.lower() not in own), *retain]

    @torch.no_grad()
    def tokens(self, prompt: str) -> Tensor:
        """Embeddings [n, d] that stand for ``prompt``: from its last token on; in 2025 that token alone."""
        ids = self.frozen.tokenize([prompt])
        last = token_count(ids[0], self.frozen.tokenizer.eos_token_id)
        embeds = self.frozen.encode(ids)[0]
        return embeds[last : last + 1] if self.options.version == 2025 else embeds[last:]

    def kept_tokens(self, prompts: list[str]) -> Tensor:
        """Embeddings [n, d] of preserved texts: of all positions; in 2025 of their last tokens."""
        if self.options.version == 2025:
            return torch.cat([self.tokens(prompt) for prompt in prompts])
        return self.frozen.encode_prompts(prompts).flatten(0, 1)


def change(c: Tensor, g: Tensor, p: Tensor, lam: float, erase_scale: float, preserve_scale: float) -> Tensor:
    """M [d, d] in float64 with W' = W M for every W [out, d]; c and g are [n, d], p is [m, d]."""
    c, g, p = (tensor.double() for tensor in (c, g, p))
    kept = lam * torch.eye(c.shape[1], dtype=c.dtype, device=c.device) + preserve_scale * p.T @ p
    right, left = kept + erase_scale * c.T @ c, kept + erase_scale * g.T @ c
    return torch.linalg.solve(right, left, left=False)
