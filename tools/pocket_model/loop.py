"""The one training loop of the pocket model's parts.

AdamW, warm-up and cosine, EMA, checkpoints, resume, log.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.training_utils import EMAModel

from advunlearn_lib.base import checkpoint
from advunlearn_lib.base.progress import tqdm


@dataclass(frozen=True)
class Plan:
    """How long and how fast one part is trained. ``ema=0`` keeps the last weights."""

    steps: int
    batch: int
    lr: float
    weight_decay: float = 0.01
    ema: float = 0.0
    save_every: float = 60.0


Loss = Callable[[np.random.Generator, torch.Generator], tuple[torch.Tensor, dict[str, float]]]


def learning_rate(plan: Plan, step: int) -> float:
    """Linear warm-up over the first 3 %, then a cosine to zero."""
    warm_up = max(1, plan.steps * 3 // 100)
    return plan.lr * min((step + 1) / warm_up, 0.5 * (1 + math.cos(math.pi * step / plan.steps)))


def forget_after(log: Path, step: int) -> None:
    """Drop the rows of a log that a resumed run will write again."""
    if log.exists():
        rows = [
            line for line in log.read_text().splitlines(keepends=True) if json.loads(line)["step"] <= step
        ]
        log.write_text("".join(rows))


def fit(
    name: str, modules: Mapping[str, torch.nn.Module], loss: Loss, plan: Plan, work: Path, log: Path
) -> None:
    """Minimise ``loss(numpy_rng, torch_rng) -> (tensor, extras)`` over all parameters of ``modules``.

    Batches are drawn from generators seeded by the step, so a resumed run sees
    what an uninterrupted one would. Progress goes to ``log/<name>.jsonl``;
    ``work/<name>.safetensors`` is the checkpoint, and the mark of a finished part.
    """
    parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=plan.lr, weight_decay=plan.weight_decay, fused=True)
    shadow = torch.nn.ParameterList([p.detach().clone() for p in parameters])
    path, start = work / f"{name}.safetensors", 0
    state = {**modules, "ema": shadow}
    if meta := checkpoint.load(path, name, state, optimizer):
        start = meta["step"]
    warm_up = {"use_ema_warmup": True, "inv_gamma": 10.0, "power": 0.8}
    ema = EMAModel(parameters, decay=plan.ema, **warm_up) if plan.ema else None
    if ema is not None:
        ema.shadow_params, ema.optimization_step = [p.data for p in shadow], start
    log.mkdir(parents=True, exist_ok=True)
    forget_after(log / f"{name}.jsonl", start)
    saved, began = time.monotonic(), time.monotonic()
    bar = tqdm(range(start, plan.steps), initial=start, total=plan.steps, desc=name, mininterval=5)
    for step in bar:
        value, extras = loss(np.random.default_rng((7, step)), torch.Generator().manual_seed(step))
        optimizer.param_groups[0]["lr"] = learning_rate(plan, step)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if ema is not None:
            ema.step(parameters)
        last = step + 1 == plan.steps
        if step % 50 == 49 or last:
            shown = {"loss": value.item(), **extras}
            bar.set_postfix({key: f"{number:.4f}" for key, number in shown.items()})
            row = {"step": step + 1, **shown, "seconds": round(time.monotonic() - began, 1)}
            with (log / f"{name}.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
        if last or time.monotonic() - saved > plan.save_every:
            checkpoint.save(path, name, state, optimizer, step=step + 1)
            saved = time.monotonic()
    if ema is not None:
        for parameter, average in zip(parameters, ema.shadow_params, strict=True):
            parameter.data.copy_(average)
