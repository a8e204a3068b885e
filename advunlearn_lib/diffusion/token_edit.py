"""Token-exact prompt surgery. Lengths come from the tokenizer, never from counting words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from unicodedata import category

import torch
from torch import Tensor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.model import LatentDiffusion

Layout = Literal["prefix", "suffix", "replace", "add"]


def token_count(ids: Tensor, eos_token_id: int) -> int:
    """Tokens between start and end of one row of ids: the index of the first end token, minus one."""
    return int((ids == eos_token_id).int().argmax()) - 1


def place(concept: Tensor, adversarial: Tensor, lengths: Sequence[int], layout: Layout) -> Tensor:
    """Put ``adversarial`` [b, k, d] into the token embeddings ``concept`` [b, l, d].

    ``lengths``: each prompt's tokens.
    With s the start token, c the concept's tokens, e the end token and its padding, d the adversarial rows:
    prefix ``s d c e``, suffix ``s c d e``, replace ``s d e``, add ``s c+d e`` (one row of d a token, k >=
    length). Paper, section 4 and appendix F; official ``attack_util.py``.
    """
    rows = []
    for tokens, d, n in zip(concept, adversarial, lengths, strict=True):
        start, words, rest = tokens[:1], tokens[1 : 1 + n], tokens[1 + n :]
        parts = {
            "prefix": (start, d, words, rest),
            "suffix": (start, words, d, rest),
            "replace": (start, d, rest, rest[-1:].expand_as(words)),
            "add": (start, words + d[:n] if layout == "add" else words, rest),
        }[layout]
        rows.append(torch.cat(parts)[: len(tokens)])
    return torch.stack(rows)


def check_room(model: LatentDiffusion, prompts: Sequence[str], extra: int) -> list[int]:
    """Token counts of ``prompts``, each of which must have room for ``extra`` more.

    Raises :class:`UserError` for one without tokens or without that room.
    """
    limit = model.tokenizer.model_max_length - 2 - extra
    counts = [len(model.tokenizer(prompt).input_ids) - 2 for prompt in prompts]
    for prompt, count in zip(prompts, counts, strict=True):
        if count < 1:
            raise UserError(f"the prompt {prompt!r} has no tokens; at least 1 is needed")
        if count > limit:
            raise UserError(
                f"the prompt {prompt!r} has {count} tokens; at most {limit} fit with {extra} adversarial ones"
            )
    return counts


def check_words(prompts: Sequence[str]) -> None:
    """Raise :class:`UserError` for a prompt of punctuation and blanks only: it names nothing."""
    for prompt in prompts:
        if prompt and all(letter.isspace() or category(letter).startswith("P") for letter in prompt):
            raise UserError(f"the prompt {prompt!r} contains no word; at least one is needed")


def with_prefix(model: LatentDiffusion, prefix: Sequence[int], prompt: str) -> str:
    """The text of ``prefix`` tokens before those of ``prompt``.

    They are decoded together, as a user would have to type it.
    """
    tokens = model.tokenizer(prompt, add_special_tokens=False).input_ids
    return str(model.tokenizer.decode([*prefix, *tokens], skip_special_tokens=True)).strip()
