"""Cells as Ray tasks, on one machine or a cluster (the extra ``ray``).

Asked for by ``--executor ray`` or ``--executor ray://ADDRESS``.
The store must be a path that all nodes see (``ADVUNLEARN_STORE``). A cell whose worker or node dies is begun
again, from its checkpoint where it has one; a cell that fails with an error of its own stops the run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import check_disk
from advunlearn_lib.base.paths import CODE
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.base.store import Store
from advunlearn_lib.execute.plan import Job, plan

RETRIES = 3
PASSED_ON = ("ADVUNLEARN_STORE", "ADVUNLEARN_DATA", "HF_HUB_OFFLINE", "HF_HOME")


def connect(address: str) -> Any:
    """Ray, joined to ``address`` or started here.

    Raises :class:`UserError` where it is missing or does not answer.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError("--executor ray needs the extra 'ray': pip install 'advunlearn_lib[ray]'") from error
    where = address.removeprefix("ray").removeprefix("://")
    if not (address == "ray" or (address.startswith("ray://") and where)):
        raise UserError(f"unknown executor {address!r} (allowed: local, ray, ray://ADDRESS)")
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    paths = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
    runtime = {"env_vars": environment | {"PYTHONPATH": paths}}
    try:
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "ignore_reinit_error": True}
        ray.init(address if where else None, runtime_env=runtime, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"cannot reach Ray at {address!r}: {str(error).splitlines()[0][:160]}") from error
    return ray


def compute_with_ray(jobs: Sequence[Job], store: Store, address: str) -> None:
    """See to it that the store holds all ``jobs``.

    What a cell rests on (its model) is a Ray task it waits for.

    Raises :class:`UserError` where Ray, its GPUs or the store's disk are missing.
    """
    todo = plan(jobs, store)
    if not todo:
        return
    profile = todo[0].profile
    check_disk("store", store.root, profile.disk_gb)
    ray = connect(address)
    models: dict[str, Any] = {}
    pending = []
    try:
        resources = ray.cluster_resources()
        if resources.get("GPU", 0) < profile.gpus:
            raise UserError(
                f"a cell needs {profile.gpus:g} GPU and the cluster has none (to go on anyway: --set gpus=0)"
            )
        remote = ray.remote(num_cpus=1, num_gpus=profile.gpus, max_retries=RETRIES)(work)
        for job in todo:  # models come first
            model = job.model()
            key = model.key if model is not None else ""
            reference = remote.remote(job, store.root, models.get(key))
            if job.spec == model:
                models[key] = reference
            pending.append(reference)
        desc = f"cells on {int(resources.get('CPU', 0))} CPUs, {address}"
        with tqdm(total=len(pending), desc=desc) as bar:
            while pending:
                done, pending = ray.wait(pending, timeout=1.0)
                for reference in done:
                    raise_as_itself(ray, reference)
                bar.update(len(done))
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)
        ray.shutdown()


def raise_as_itself(ray: Any, reference: Any) -> None:
    """What the task raised, without Ray's wrapping."""
    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def work(job: Any, root: Path, model: Any) -> None:
    """One cell on a worker; ``model`` is only waited for."""
    import torch

    from advunlearn_lib.execute.pool import compute_one

    torch.set_num_threads(1)
    compute_one(job, root)
