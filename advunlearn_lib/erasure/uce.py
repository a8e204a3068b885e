r"""UCE, Unified Concept Editing (Gandikota et al., WACV
2024): one closed-form edit of cross-attention, no training.

    W' = ( lam W + s_e sum_i W g_i c_i^T + s_p sum_j W p_j p_j^T )
         ( lam I + s_e sum_i c_i c_i^T + s_p sum_j p_j p_j^T )^-1

for every to_k and to_v: the concept's token embeddings c are made to answer as the guide's g, the retain
set's p keep their answers. Official ``uce_sd_erase.py`` (2025): last token of each phrase; with the quirk,
the 2023 version's tokens.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from advunlearn_lib.diffusion.token_edit import token_count
from advunlearn_lib.erasure.method import Method, Options
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task


class UCEOptions(Options):
    """UCE's own options; it has no iterations."""

    QUIRKS: ClassVar[dict[str, str]] = {
        "all_positions": "2023: concept and guide from their last words on, preserved texts at all positions"
    }

    group: str = "xattn-strict"
    iterations: int = Field(0, ge=0, le=0)
    lam: float = Field(0.5, gt=0, description="how much the old weights count")  # official 2025
    erase_scale: float = Field(1.0, gt=0, description="... the concept")  # official 2025
    # official 2025
    preserve: bool = Field(
        False, description="keep the retain set's answers (2025's default preserves nothing)"
    )
    preserve_scale: float = Field(1.0, ge=0, description="how much they count")  # official 2025
    # official 2025, objects and unsafe
    guide: str = Field("", description="what the concept's tokens are made to mean")


@METHODS.register("uce")
class UCE(Method):
    """The edit is made at once; the loop has nothing to do."""

    OPTIONS = UCEOptions
    LABEL = "UCE"
    options: UCEOptions

    def __init__(self, task: Task, options: UCEOptions) -> None:
        super().__init__(task, options)
        guide = self.tokens(options.guide)
        concept = [self.tokens(prompt) for prompt in (*task.concept, *task.also)]
        lengths = [min(len(tokens), len(guide)) for tokens in concept]  # aligned at their last words
        c = torch.cat([tokens[:length] for tokens, length in zip(concept, lengths, strict=True)])
        g = torch.cat([guide[:length] for length in lengths])
        kept = [self.tokens(prompt, whole=True) for prompt in task.retain_set] if options.preserve else []
        p = torch.cat(kept) if kept else c[:0]
        for parameter in self.trained.values():
            parameter.data = edit(
                parameter.data, c, g, p, options.lam, options.erase_scale, options.preserve_scale
            )

    @classmethod
    def needs(cls, options: Options) -> tuple[str, ...]:
        """A retain set, if it is to be kept."""
        return ("retain_set",) if isinstance(options, UCEOptions) and options.preserve else ()

    @torch.no_grad()
    def tokens(self, prompt: str, whole: bool = False) -> Tensor:
        """Embeddings [n, d] that stand for ``prompt``: its last
        token; with the quirk, from there on, or all if ``whole``.
        """
        ids = self.frozen.tokenize([prompt])
        last = token_count(ids[0], self.frozen.tokenizer.eos_token_id)
        embeds = self.frozen.encode(ids)[0]
        if "all_positions" not in self.options.quirks:
            return embeds[last : last + 1]
        return embeds if whole else embeds[last:]


def edit(
    weight: Tensor, c: Tensor, g: Tensor, p: Tensor, lam: float, erase_scale: float, preserve_scale: float
) -> Tensor:
    """W' above for one matrix [out, d]; c and g are [n, d], p is [m, d]. Solved in float64."""
    w, c, g, p = (tensor.double() for tensor in (weight, c, g, p))
    identity = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
    right = lam * identity + erase_scale * c.T @ c + preserve_scale * p.T @ p
    left = lam * w + erase_scale * (w @ g.T) @ c + preserve_scale * (w @ p.T) @ p
    return torch.linalg.solve(right, left, left=False).to(weight.dtype)
