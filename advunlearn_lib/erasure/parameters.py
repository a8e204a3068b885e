"""Which weights a method trains: the parameter groups of ESD (UNet) and AdvUnlearn (text encoder).

Names are diffusers' and transformers'; the map from the official (CompVis) names is in the official code's
own ``convertModels.py``. Token and position embeddings are never trained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from advunlearn_lib.base.errors import UserError, choose

OUT_OR_TIME = re.compile(r"^(conv_norm_out|conv_out|time_embedding)\b")

UNET_GROUPS: dict[str, Callable[[str], bool]] = {
    "full": lambda name: True,
    "xattn": lambda name: ".attn2." in name,
    "xattn-strict": lambda name: ".attn2.to_k." in name or ".attn2.to_v." in name,
    "noxattn": lambda name: ".attn2." not in name and not OUT_OR_TIME.match(name),
}
LAYER = re.compile(r"(?:^|\.)encoder\.layers\.(\d+)\.")


def text_encoder_group(group: str, prefix_match: bool = False) -> Callable[[str], bool]:
    """The text encoder's parameters of ``group``.

    ``"full"``: all encoder layers and the final layer norm; ``"layers-N"``: the first N encoder layers only.
    ``prefix_match`` is the official code's slip: layer 1 is looked for as "starts with encoder.layers.1",
    which also selects layers 10 and 11.
    """
    if group == "full":
        return lambda name: bool(LAYER.search(name)) or "final_layer_norm" in name
    match = re.fullmatch(r"layers-(\d+)", group)
    if match is None or int(match[1]) < 1:
        raise UserError(f"unknown text encoder group {group!r} (allowed: full, layers-1, layers-2, ...)")
    wanted = {str(index) for index in range(int(match[1]))}

    def selected(name: str) -> bool:
        layer_match = LAYER.search(name)
        if layer_match is None:
            return False
        if prefix_match:
            return layer_match[1].startswith(tuple(wanted))
        return layer_match[1] in wanted

    return selected


def select(module: Module, component: str, group: str, prefix_match: bool = False) -> dict[str, Parameter]:
    """The parameters of ``group``, by name. Raises :class:`UserError` for an unknown or empty group."""
    choose("component", component, ("text_encoder", "unet"))
    if component == "unet":
        wanted = UNET_GROUPS[choose("UNet group", group, UNET_GROUPS)]
    else:
        wanted = text_encoder_group(group, prefix_match)
    chosen = {name: parameter for name, parameter in module.named_parameters() if wanted(name)}
    if not chosen:
        raise UserError(f"the group {group!r} selects no parameter of this {component}")
    return chosen


def kth_smallest(tensors: Sequence[Tensor], k: int) -> float:
    """The k-th smallest (from 1) of all elements, fp32 and not negative, without a second copy of them.

    Such floats order as their bits do as integers, so 31 counts find it by bisection.
    """
    low, high = 0, 0x7F800000  # zero and infinity
    while low < high:
        middle = (low + high) // 2
        if sum(int((tensor.view(torch.int32) <= middle).sum()) for tensor in tensors) >= k:
            high = middle
        else:
            low = middle + 1
    return float(torch.tensor(low, dtype=torch.int32).view(torch.float32))
