"""Token embeddings that are no rows of the table, put where a text encoder would look its tokens up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor


@contextmanager
def soft_tokens(text_encoder: Any, token_embeds: Tensor | None) -> Iterator[None]:
    """Within, ``token_embeds`` [b, l, d] stand in for the rows that ``text_encoder`` would look up, if given.

    A forward hook on the embedding table works in every version of ``CLIPTextModel``.
    """
    if token_embeds is None:
        yield
        return
    table = text_encoder.get_input_embeddings()
    hook = table.register_forward_hook(lambda *_: token_embeds.to(table.weight.dtype))
    try:
        yield
    finally:
        hook.remove()
