"""Low-rank changes of a part (LoRA; SPM's are such), merged into it: kohya's, diffusers' and peft's files."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.diffusion.formats import MERGE, first, reason
from advunlearn_lib.diffusion.model import LatentDiffusion

ADAPTED = re.compile(r"(^|[._])(lora|hada|lokr|oft)[._]", re.IGNORECASE)
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_FIELDS = (
    "r",
    "lora_alpha",
    "target_modules",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "use_dora",
)


def is_adapter(state: Iterable[str]) -> bool:
    """Are these the names of low-rank changes instead of weights?"""
    return any(ADAPTED.search(name) for name in state)


def merged(path: Path, state: dict[str, Tensor], base: LatentDiffusion) -> tuple[str, Any]:
    """The part that an adapter changes, and a copy of the part in ``base`` with the adapter merged into it.

    Raises :class:`UserError` where it changes several parts, or layers that are not there.
    """
    try:
        if any(name.startswith("base_model.") for name in state):
            return merged_peft(path, state, base)
        loader, unet = type(base.pipeline), copy.deepcopy(base.unet)
        if any("dora_scale" in name for name in state):  # which diffusers would leave out
            raise UserError(f"the adapter {str(path)!r} is a DoRA (allowed: LoRA)")
        told = {"unet_config": unet.config, "return_lora_metadata": True}
        lora, alphas, metadata = loader.lora_state_dict(str(path), **told)
        if any(name.startswith("text_encoder") for name in lora):
            call = f"p.load_lora_weights({str(path)!r}); p.fuse_lora(); p.unload_lora_weights()"
            raise UserError(
                f"the adapter {str(path)!r} changes a text encoder too, and a checkpoint is one part: "
                f"merge it with {MERGE.format(call)}"
            )
        known = {
            key: value for key, value in (metadata or {}).items() if key.split(".")[-1] in ADAPTER_FIELDS
        }
        loader.load_lora_into_unet(lora, alphas, unet, metadata=known or None)
        check_adapted(path, state, unet)
        unet.fuse_lora()
        unet.unload_lora()
    except UserError:
        raise
    except Exception as error:  # diffusers and peft each raise their own
        raise UserError(f"cannot merge the adapter {str(path)!r} into the base: {reason(error)}") from error
    return "unet", unet


def merged_peft(path: Path, state: dict[str, Tensor], base: LatentDiffusion) -> tuple[str, Any]:
    """The same of an adapter that peft saved; of the file beside it numbers and layers alone are read."""
    try:
        config = json.loads((path.parent / ADAPTER_CONFIG).read_text())
    except (OSError, ValueError):
        needed = f"a readable {ADAPTER_CONFIG}, which peft saves beside it"
        raise UserError(f"the adapter {str(path)!r} needs {needed}") from None
    choose("kind of adapter", str(config.get("peft_type")), ["LORA"])
    known = {name: config[name] for name in ADAPTER_FIELDS if config.get(name) is not None}
    part = "text_encoder" if any("encoder.layers." in name for name in state) else "unet"
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict  # takes seconds

    adapted = get_peft_model(copy.deepcopy(getattr(base, part)), LoraConfig(**known))
    left = set_peft_model_state_dict(adapted, state).unexpected_keys
    if left:
        raise UserError(f"the adapter {str(path)!r} changes what the base does not have: {first(left)}")
    check_adapted(path, state, adapted)
    return part, adapted.merge_and_unload()


def check_adapted(path: Path, state: Iterable[str], module: Any) -> None:
    """Refuse an adapter of layers that ``module`` does not have."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    meant = sum(bool(re.search(r"lora_up|lora_B|lora\.up", name)) for name in state)
    found = sum(isinstance(layer, BaseTunerLayer) for layer in module.modules())
    if found != meant:
        raise UserError(f"the adapter {str(path)!r} changes {meant} layers, of which the base has {found}")
