"""Load a text-to-image model from a folder, the hub, or a single file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.diffusion import hub
from advunlearn_lib.diffusion.classes import class_named
from advunlearn_lib.diffusion.finite import check_finite
from advunlearn_lib.diffusion.formats import first, read_state, variants
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.quiet import no_loading_bars
from advunlearn_lib.diffusion.sdxl import LatentDiffusionXL

KINDS: dict[str, type[LatentDiffusion]] = {cls.PIPELINE: cls for cls in (LatentDiffusion, LatentDiffusionXL)}
SINGLE_FILES = {"v1": LatentDiffusion, "xl_base": LatentDiffusionXL}  # by diffusers' names of checkpoints
SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
WHOLE = ("model.diffusion_model.", "first_stage_model.")  # what a whole model has, beside text encoders
CONVERT = (
    'python -c "from diffusers import {} as P; '
    "P.from_single_file({!r}, config='FOLDER').save_pretrained('OUT')\" with the FOLDER of a model of its "
    "architecture, and give OUT as the base"
)


def load_model(
    folder: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> LatentDiffusion:
    """A pipeline of Stable Diffusion 1.x, 2.x or XL, in fp32: a folder, a hub id or a single file.

    A hub id is ``owner/name@revision``; ``dtype``: what training computes in.
    Raises :class:`UserError` where it is missing, damaged, gated, another kind of pipeline, or has weights
    that are not finite real numbers.
    """
    no_loading_bars()
    if Path(folder).suffix in SUFFIXES and not Path(folder).is_dir():
        cls, pipeline = from_single_file(Path(folder))
    else:
        cls, pipeline = from_folder(folder)
    check_finite(
        folder, *(part for part in pipeline.components.values() if isinstance(part, torch.nn.Module))
    )
    model = cls(pipeline.to(device), dtype)
    model.name = str(folder)
    return model


def from_folder(folder: str | Path) -> tuple[type[LatentDiffusion], Any]:
    """The class that serves a folder's or hub id's pipeline, and the pipeline."""
    name, options = hub.location(folder)
    failed: Exception | None = None
    for variant in variants(name):
        try:
            config = class_named("DiffusionPipeline").load_config(name, **options)
            cls = KINDS[choose("pipeline class", config["_class_name"], KINDS)]
            hub.check_classes(folder, config)
            told = {"dtype": torch.float32} | variant | cls.LEFT_OUT | options
            made = class_named(cls.PIPELINE).from_pretrained(name, trust_remote_code=False, **told)
        except UserError:
            raise
        except Exception as error:  # diffusers, safetensors, hub and json each raise their own
            failed = failed or error
        else:
            return cls, made
    assert failed is not None
    raise UserError(f"cannot load a text-to-image pipeline: {hub.reason(failed, folder)}") from failed


def from_single_file(path: Path) -> tuple[type[LatentDiffusion], Any]:
    """The same of one file under Stable Diffusion's original names.

    It holds weights alone: diffusers takes configuration and vocabulary from the hub's model of its kind.
    """
    from diffusers.loaders.single_file_utils import fetch_diffusers_config, infer_diffusers_model_type

    state = read_state(path)
    lacking = [prefix for prefix in WHOLE if not any(name.startswith(prefix) for name in state)]
    if lacking:
        raise UserError(
            f"{str(path)!r} is no whole Stable Diffusion model: it has no {' and no '.join(lacking)}* "
            f"but {first(state)} (a text encoder or UNet alone goes with --checkpoint)"
        )
    kind, where = infer_diffusers_model_type(state), fetch_diffusers_config(state)
    config = where["pretrained_model_name_or_path"]
    if kind == "v2":  # 2.0 and 2.1 have the same names and shapes
        remedy = CONVERT.format("StableDiffusionPipeline", str(path))
        raise UserError(
            f"{str(path)!r} does not say whether its UNet predicts noise or v: convert it by {remedy}"
        )
    cls = SINGLE_FILES[choose("kind of single file", kind, SINGLE_FILES)]
    del state  # diffusers reads the file again
    options = {"config": config, "local_files_only": hub.offline()} | cls.LEFT_OUT
    try:
        made = class_named(cls.PIPELINE).from_single_file(str(path), dtype=torch.float32, **options)
    except Exception as error:  # diffusers, safetensors and hub each raise their own
        if "meta tensor" in str(error):  # diffusers' networks start without values
            raise UserError(f"{str(path)!r} lacks weights that {config!r} has") from error
        reason, remedy = hub.reason(error, config), CONVERT.format(cls.PIPELINE, str(path))
        raise UserError(f"cannot load {str(path)!r} as {reason}; or convert it by {remedy}") from error
    return cls, made
