"""The one loop of all trained erasure methods: Adam, progress, checkpoint, resume."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from advunlearn_lib import checkpoint
from advunlearn_lib.erasure.ac import AC
from advunlearn_lib.erasure.advunlearn import AdvUnlearn
from advunlearn_lib.erasure.base import Method, Options, Task
from advunlearn_lib.erasure.erasediff import EraseDiff
from advunlearn_lib.erasure.esd import ESD
from advunlearn_lib.erasure.fmn import FMN
from advunlearn_lib.erasure.salun import SalUn
from advunlearn_lib.erasure.scissorhands import ScissorHands
from advunlearn_lib.erasure.spm import SPM
from advunlearn_lib.erasure.uce import UCE
from advunlearn_lib.errors import UserError, choose, validated
from advunlearn_lib.microbatch import in_memory
from advunlearn_lib.model import LatentDiffusion
from advunlearn_lib.progress import tqdm
from advunlearn_lib.prompts import check_room
from advunlearn_lib.weights import save_part

METHODS: dict[str, type[Method]] = {
    "esd": ESD,
    "advunlearn": AdvUnlearn,
    "fmn": FMN,
    "uce": UCE,
    "ac": AC,
    "spm": SPM,
    "salun": SalUn,
    "erasediff": EraseDiff,
    "scissorhands": ScissorHands,
}


@dataclass
class Erased:
    """An erased model: ``model`` to generate with; ``save_pretrained`` writes the trained part alone."""

    model: LatentDiffusion
    component: str
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that ``CLIPTextModel.from_pretrained`` (or ``UNet2DConditionModel``) loads."""
        save_part(getattr(self.model, self.component), folder)


def prepare(method: str, task: Task, options: dict[str, Any]) -> Method:
    """A method ready for :func:`train`. Raises :class:`UserError` for bad prompts or options."""
    chosen = METHODS[choose("method", method, METHODS)]
    filled = validated("option", chosen.OPTIONS, options)
    for quirk in sorted(filled.quirks):
        choose("quirk", quirk, filled.QUIRKS)
    if not task.concept:
        raise UserError("no concept prompt given; at least one is needed")
    check_room(task.frozen, task.concept, 0)
    return in_memory(lambda: chosen(task, filled), task.frozen, samples(filled))


def samples(options: Options) -> int:
    """How many samples a step takes at once."""
    return max(getattr(options, name, 1) for name in ("batch", "retain_batch", "anchors"))


def train(method: Method, seed: int = 0, path: Path | None = None, save_every: float = 20.0) -> Erased:
    """Run ``method`` to the end. With ``path``, a checkpoint is kept there and a stopped run goes on from it.

    Iteration i draws from a generator seeded by (seed, i), so a resumed run equals an uninterrupted one. Where memory runs
    out, the iteration is done again in micro-batches (``microbatch.py``). Raises :class:`UserError` where even one sample
    at a time does not fit, or for fp16 without a GPU.
    """
    method.accelerator = accelerator(method.model)
    run = Run(method, method.accelerator.prepare_optimizer(method.optimizer()), seed, path, save_every)
    in_memory(run.go_on, method.model, samples(method.options))
    for parameter in method.trained.values():
        parameter.requires_grad_(False)
    method.finish()
    return Erased(method.model, method.options.component, run.losses, run.seconds)


def accelerator(model: LatentDiffusion) -> Accelerator:
    """accelerate's view of the model's precision; it holds fp16's loss scaler."""
    precision = {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(model.dtype, "no")
    if precision == "fp16" and model.device.type == "cpu":
        raise UserError("fp16 training needs a GPU (allowed on a CPU: fp32, bf16)")
    AcceleratorState._reset_state()  # it is one a process, and refuses a second precision
    return Accelerator(mixed_precision=precision, cpu=model.device.type == "cpu")


class Run:
    """The loop, which can be entered again where it stopped."""

    def __init__(self, method: Method, optimizer: Any, seed: int, path: Path | None, save_every: float) -> None:
        self.method, self.optimizer, self.seed, self.path, self.save_every = method, optimizer, seed, path, save_every
        self.module = torch.nn.ParameterDict({name.replace(".", "/"): p for name, p in method.trained.items()})
        self.losses: list[float] = []
        self.seconds: list[float] = []
        if path is not None and path.exists():
            meta: dict[str, Any] = checkpoint.load(path, {"trained": self.module}, optimizer)
            self.losses, self.seconds = meta["losses"], meta["seconds"]
            method.state = {name: torch.tensor(value) for name, value in meta["state"].items()}

    def go_on(self) -> None:
        """All iterations that are left."""
        done, total = len(self.losses), self.method.options.iterations
        saved = time.monotonic()
        bar = tqdm(range(done, total), initial=done, total=total, desc="erase", leave=False)
        for iteration in bar:
            began = time.monotonic()
            self.optimizer.zero_grad()
            loss = self.method.backward(iteration, torch.Generator().manual_seed(self.seed * 1_000_003 + iteration))
            self.optimizer.step()
            self.losses.append(loss)
            self.seconds.append(time.monotonic() - began)
            bar.set_postfix(loss=f"{loss:.4f}")
            if self.path is not None and time.monotonic() - saved > self.save_every:
                self.save(self.path)
                saved = time.monotonic()

    def save(self, path: Path) -> None:
        """The checkpoint."""
        state = {name: value.tolist() for name, value in self.method.state.items()}
        meta = {"step": len(self.losses), "losses": self.losses, "seconds": self.seconds, "state": state}
        checkpoint.save(path, {"trained": self.module}, self.optimizer, **meta)


def erase(
    frozen: LatentDiffusion,
    concept: str | list[str],
    method: str = "advunlearn",
    retain_set: list[str] | None = None,
    surrogate: str | None = None,
    seed: int = 0,
    **options: Any,
) -> Erased:
    """Erase ``concept`` from ``frozen`` (left untouched) and return the erased model.

    ``surrogate`` is the prompt whose picture should come instead, for the methods that relabel. ``options`` are those of
    the method's ``OPTIONS``; AdvUnlearn without a retain set needs ``retain_weight=0``. Raises :class:`UserError` for an
    unknown method, option or value, a prompt without tokens, or a list that the method needs and was not given.
    """
    prompts = [concept] if isinstance(concept, str) else concept
    task = Task(frozen, prompts, retain_set, None if surrogate is None else [surrogate] * len(prompts), seed=seed)
    return train(prepare(method, task, options), seed)
