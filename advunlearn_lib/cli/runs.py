"""What every run of the paper's items begins with: its profile, its folder, where cells are computed."""

from __future__ import annotations

import os
from argparse import Namespace
from importlib import import_module
from typing import Any

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import writable
from advunlearn_lib.cli.item_options import overrides_of
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.report.folders import published_folder, results_folder

PLACES = (  # settings that say where and on what, and change no result
    *("judges", "prompts_dir", "detector", "reference"),
    *("device", "batch", "gpus", "disk_gb", "gpu_gb", "gpu_unet_gb"),
)


def open_run(options: Namespace) -> dict[str, Any]:
    """A notebook's parameters.

    Raises :class:`UserError` for what is unknown or cannot be written.
    """
    overrides = overrides_of(options)
    profile = load_profile(options.profile, overrides, options.quick, options.seed)
    if profile.device != "auto":
        import_module("advunlearn_lib.diffusion.device").device_named(profile.device)
    folder = options.out or results_folder(
        options.profile, options.quick, overrides, options.seed, options.seeds
    )
    if options.publish:
        changed = [one for one in overrides if one.partition("=")[0] not in PLACES]
        if options.quick or options.seed or options.out or changed:
            others = "--quick, --seed, --out, --base, --checkpoint, --add or a --set that changes results"
            raise UserError(f"--publish writes the plain run: it cannot be combined with {others}")
        folder = published_folder(profile.name, options.seeds)
    return {
        "profile": options.profile,
        "overrides": overrides,
        "quick": options.quick,
        "seed": options.seed,
        "seeds": options.seeds,
        "out": str(writable("output folder", folder.resolve())),
    }


def uses_other_processes(options: Namespace) -> bool:
    """Are cells computed first: by processes of ``accelerate launch``, by Ray, or a share of them here?"""
    return options.processes > 1 or options.executor != "local" or options.share is not None


def is_launched() -> bool:
    """Is this one of the processes of ``accelerate launch``?"""
    return "WORLD_SIZE" in os.environ
