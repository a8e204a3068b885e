"""Load a text-to-image model from a folder or the hub."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import DiffusionPipeline

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.diffusion import hub
from advunlearn_lib.diffusion.finite import check_finite
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.quiet import no_loading_bars
from advunlearn_lib.diffusion.sdxl import LatentDiffusionXL

KINDS: dict[str, type[LatentDiffusion]] = {
    cls.PIPELINE.__name__: cls for cls in (LatentDiffusion, LatentDiffusionXL)
}


def load_model(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> LatentDiffusion:
    """A pipeline folder or hub id of Stable Diffusion 1.x, 2.x or XL, in fp32.

    A hub id is ``owner/name@revision``; ``dtype``: what training computes in.
    Raises :class:`UserError` where it is missing, damaged, gated, another kind of pipeline, or has weights
    that are not finite real numbers.
    """
    no_loading_bars()
    name, options = hub.location(folder)
    try:
        config = DiffusionPipeline.load_config(name, **options)
        cls = KINDS[choose("pipeline class", config["_class_name"], KINDS)]
        pipeline = cls.PIPELINE.from_pretrained(name, dtype=torch.float32, **cls.LEFT_OUT, **options)
    except UserError:
        raise
    except Exception as error:  # diffusers, safetensors, hub and json each raise their own
        raise UserError(f"cannot load a text-to-image pipeline: {hub.reason(error, folder)}") from error
    check_finite(
        folder, *(part for part in pipeline.components.values() if isinstance(part, torch.nn.Module))
    )
    model = cls(pipeline.to(device), dtype)
    model.name = str(folder)
    return model
