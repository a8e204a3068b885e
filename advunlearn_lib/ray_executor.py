"""Cells as Ray tasks, on one machine or a cluster (the extra ``ray``): ``--executor ray`` or ``--executor ray://ADDRESS``.

The store must be a path that all nodes see (``ADVUNLEARN_STORE``). A cell whose worker or node dies is begun again, from
its checkpoint where it has one; a cell that fails with an error of its own stops the run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advunlearn_lib.errors import UserError
from advunlearn_lib.parallel import Task, plan
from advunlearn_lib.progress import tqdm
from advunlearn_lib.recipes import Recipes
from advunlearn_lib.store import ROOT, Store, key_of

RETRIES = 3


def connect(address: str) -> Any:
    """Ray, joined to ``address`` or started here. Raises :class:`UserError` where it is missing or does not answer."""
    try:
        import ray
    except ImportError as error:
        raise UserError("--executor ray needs the extra 'ray': pip install 'advunlearn_lib[ray]'") from error
    where = address.removeprefix("ray").removeprefix("://")
    if not (address == "ray" or (address.startswith("ray://") and where)):
        raise UserError(f"unknown executor {address!r} (allowed: local, ray, ray://ADDRESS)")
    environment = {name: os.environ[name] for name in ("ADVUNLEARN_STORE", "HF_HUB_OFFLINE", "HF_HOME") if name in os.environ}
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    runtime = {"env_vars": environment | {"PYTHONPATH": paths}}
    try:
        ray.init(address if where else None, runtime_env=runtime, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"cannot reach Ray at {address!r}: {str(error).splitlines()[0][:160]}") from error
    return ray


def compute_with_ray(tasks: Sequence[Task], store: Store, address: str, gpus: float) -> None:
    """See to it that the store holds all ``tasks``. What a cell rests on (its model) is a task it waits for."""
    todo = plan(tasks, store)
    if not todo:
        return
    ray = connect(address)
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(work)
    models: dict[str, Any] = {}
    pending = []
    try:
        for profile, cell in todo:  # models come first
            recipes = Recipes(profile)
            trained = recipes.trained(cell.row)
            key = key_of(recipes.erase(trained)) if trained else ""
            reference = remote.remote(profile, cell, store.root, models.get(key))
            if cell.metric == "model":
                models[key] = reference
            pending.append(reference)
        with tqdm(total=len(pending), desc=f"cells on {int(ray.cluster_resources().get('CPU', 0))} CPUs, {address}") as bar:
            while pending:
                done, pending = ray.wait(pending, timeout=1.0)
                for reference in done:
                    result(ray, reference)
                bar.update(len(done))
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)
        ray.shutdown()


def result(ray: Any, reference: Any) -> None:
    """Raise what the task raised, as itself."""
    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


def work(profile: Any, cell: Any, root: Path, model: Any) -> None:
    """One task on a worker; ``model`` is only waited for."""
    import torch

    from advunlearn_lib.parallel import work as compute_one

    torch.set_num_threads(1)
    compute_one(profile, cell, root)
