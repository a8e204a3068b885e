"""Whether the machine can do what is asked of it, before anything is begun."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import check_disk
from advunlearn_lib.base.store import Store
from advunlearn_lib.diffusion.device import device_named
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.experiment.attack_spec import AttackSpec
from advunlearn_lib.experiment.erasure_spec import ModelSpec


def preflight(jobs: Sequence[Job], store: Store) -> None:
    """Refuse ``jobs`` that this machine cannot carry out.

    Raises :class:`UserError` where there is too little disk, a judge is missing, or there is no such device
    or a GPU too small for ``jobs``.
    """
    profile = jobs[0].profile
    check_disk("store", store.root, profile.disk_gb)
    judges = (job.spec.prompts.judge for job in jobs if isinstance(job.spec, AttackSpec))
    for judge in dict.fromkeys(filter(None, judges)):
        judge.check()
    if not profile.gpu_gb or profile.device == "cpu":
        device_named(profile.device)
        return
    if not torch.cuda.is_available():
        needed = f"the profile {profile.name} needs a GPU of {profile.gpu_gb:g} GB and torch sees none"
        raise UserError(f"{needed} (to go on anyway: --set device=cpu)")
    memory = torch.cuda.get_device_properties(gpu_index(profile.device)).total_memory / 1e9
    wanted, setting = profile.gpu_gb, "gpu_gb"
    if any(trains_unet(job) for job in jobs):
        wanted, setting = profile.gpu_unet_gb, "gpu_unet_gb"
    if memory < wanted:
        raise UserError(
            f"the GPU has {memory:.0f} GB; {wanted:g} GB are needed (to go on anyway: --set {setting}=0)"
        )


def gpu_index(device: str) -> int:
    """The GPU that ``device`` names; the first where it names none.

    :class:`UserError` where there is none such.
    """
    if ":" not in device:
        return 0
    return device_named(device).index or 0


def trains_unet(job: Job) -> bool:
    """Is it a model whose UNet is trained here?"""
    match job.spec:
        case ModelSpec(erasure=erasure) if erasure is not None:
            return erasure.options.component == "unet"
    return False
