"""Stable Diffusion XL behind the same view.

It has two text encoders, their pooled embedding and the picture's size as conditions.

Both encoders' token embeddings, and both encoders' outputs, stand side by side in one tensor; the pooled
embedding is one more row. So methods and attacks, which mix, cache and expand prompt embeddings, need not
know of it. Shapes: ``token_embeds`` [b, l, d1 + d2], ``prompt_embeds`` [b, l + 1, d1 + d2].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.soft_tokens import soft_tokens
from advunlearn_lib.diffusion.weights import save_part


class TextEncoders(torch.nn.Module):
    """Both text encoders as one component, which is trained and saved as one."""

    text_encoder: Any
    text_encoder_2: Any

    def __init__(self, text_encoder: Any, text_encoder_2: Any) -> None:
        super().__init__()
        self.text_encoder, self.text_encoder_2 = text_encoder, text_encoder_2

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the subfolders ``text_encoder`` and ``text_encoder_2``, as the pipeline has them."""
        for name in ("text_encoder", "text_encoder_2"):
            save_part(getattr(self, name), Path(folder) / name)


class LatentDiffusionXL(LatentDiffusion):
    """A ``StableDiffusionXLPipeline``."""

    PIPELINE = "StableDiffusionXLPipeline"
    LEFT_OUT: ClassVar[dict[str, Any]] = {}
    PARTS: ClassVar[dict[str, dict[str, str]]] = LatentDiffusion.PARTS | {
        "text_encoder": {"text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection"},
    }

    @property
    def text_encoder(self) -> Any:
        """Both text encoders."""
        return TextEncoders(*self.text_encoders())

    def text_encoders(self) -> list[Any]:
        """The ``CLIPTextModel`` and the ``CLIPTextModelWithProjection``."""
        return [self.pipeline.text_encoder, self.pipeline.text_encoder_2]

    def text_parts(self, text_encoder: Any) -> dict[str, Any]:
        """The pipeline's two components."""
        return {"text_encoder": text_encoder.text_encoder, "text_encoder_2": text_encoder.text_encoder_2}

    def join_parts(self, modules: dict[str, Any]) -> Any:
        """Both text encoders as one component; anything else as it is."""
        return TextEncoders(**modules) if "text_encoder_2" in modules else super().join_parts(modules)

    def embedding_table(self) -> Tensor:
        """[v, d1 + d2]; both encoders have one vocabulary."""
        return torch.cat([encoder.get_input_embeddings().weight for encoder in self.text_encoders()], -1)

    def token_embeds(self, ids: Tensor) -> Tensor:
        """Rows of both tables; the second tokenizer pads with another token."""
        first, second = (encoder.get_input_embeddings() for encoder in self.text_encoders())
        padding = (ids == self.tokenizer.eos_token_id).cumsum(-1) > 1
        other = ids.masked_fill(padding, self.pipeline.tokenizer_2.pad_token_id)
        return torch.cat([first(ids), second(other)], -1)

    def encode(self, ids: Tensor, token_embeds: Tensor | None = None) -> Tensor:
        """Hidden states before the last layer, and in the last row the pooled embedding.

        The pooled embedding is padded with zeros.
        """
        first, second = self.text_encoders()
        words = self.token_embeds(ids) if token_embeds is None else token_embeds
        widths = [encoder.config.hidden_size for encoder in (first, second)]
        one, two = words.split(widths, -1)
        end = self.token_embeds(ids.new_tensor(self.tokenizer.eos_token_id))
        where = (words == end).all(-1).int().argmax(-1)
        ends = torch.zeros_like(ids).scatter(1, where[:, None], self.tokenizer.eos_token_id)  # where to pool
        with self.autocast():
            with soft_tokens(first, one):
                hidden = first(ends, output_hidden_states=True).hidden_states[-2]
            with soft_tokens(second, two):
                output = second(ends, output_hidden_states=True)
        both = torch.cat([hidden, output.hidden_states[-2]], -1)
        pooled = torch.nn.functional.pad(
            output.text_embeds, (0, both.shape[-1] - output.text_embeds.shape[-1])
        )
        return torch.cat([both, pooled[:, None]], 1).float()

    def unconditional(self) -> Tensor:
        """The empty prompt; zeros where the pipeline is configured so, as SDXL's own is."""
        empty = super().unconditional()
        return torch.zeros_like(empty) if self.pipeline.config.force_zeros_for_empty_prompt else empty

    def split(self, prompt_embeds: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [b, l, d] and pooled embeddings [b, p]."""
        return prompt_embeds[:, :-1], prompt_embeds[
            :, -1, : self.pipeline.text_encoder_2.config.projection_dim
        ]

    def call_unet(self, latents: Tensor, timesteps: Tensor, prompt_embeds: Tensor) -> Tensor:
        """The UNet is also told the pooled embedding, and that the picture is whole and of the full size."""
        hidden, pooled = self.split(prompt_embeds)
        side = latents.shape[-1] * self.pipeline.vae_scale_factor
        size = latents.new_tensor([side, side, 0, 0, side, side]).expand(len(latents), -1)
        conditions = {"text_embeds": pooled, "time_ids": size}
        return torch.as_tensor(self.unet(latents, timesteps, hidden, added_cond_kwargs=conditions).sample)

    def conditions(self, prompt_embeds: Tensor, empty: Tensor) -> dict[str, Any]:
        """Hidden states and pooled embeddings apart."""
        (hidden, pooled), (no_hidden, no_pooled) = self.split(prompt_embeds), self.split(empty)
        given = {"prompt_embeds": hidden, "pooled_prompt_embeds": pooled}
        return given | {"negative_prompt_embeds": no_hidden, "negative_pooled_prompt_embeds": no_pooled}
