"""The one loop of all trained erasure methods: Adam, progress, checkpoint, resume."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from advunlearn_lib import checkpoint
from advunlearn_lib.erasure.advunlearn import AdvUnlearn, AdvUnlearnOptions
from advunlearn_lib.erasure.esd import ESD, ESDOptions
from advunlearn_lib.errors import UserError, choose
from advunlearn_lib.model import LatentDiffusion
from advunlearn_lib.progress import tqdm
from advunlearn_lib.prompts import check_room
from advunlearn_lib.trajectories import Bank, Resampler

METHODS: dict[str, type[ESDOptions]] = {"esd": ESDOptions, "advunlearn": AdvUnlearnOptions}


@dataclass
class Erased:
    """An erased model: ``model`` to generate with; ``save_pretrained`` writes the trained part alone."""

    model: LatentDiffusion
    component: str
    losses: list[float] = field(default_factory=list)
    seconds_per_iteration: float = 0.0

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a folder that ``CLIPTextModel.from_pretrained`` (or ``UNet2DConditionModel``) loads."""
        getattr(self.model, self.component).save_pretrained(folder)


def bank_for(
    frozen: LatentDiffusion, options: ESDOptions, prompts: list[str], per_prompt: int, seed: int, folder: Path | None
) -> Resampler:
    """The bank of ``prompts``, in ``folder`` when given, or the official way with ``resample``."""
    arguments = (frozen, prompts, per_prompt, options.steps, options.guidance_scale, seed)
    if options.resample:
        return Resampler(*arguments)
    return Bank(*arguments, path=None if folder is None else folder / "bank.safetensors")


def prepare(
    frozen: LatentDiffusion,
    concept: list[str],
    options: ESDOptions,
    retain_set: list[str] | None = None,
    seed: int = 0,
    banks: tuple[Path, Path] | None = None,
) -> ESD:
    """A method with its banks, ready for :func:`train`. Raises :class:`UserError` for bad prompts or options."""
    unknown = options.quirks - set(options.QUIRKS)
    if unknown:
        choose("quirk", sorted(unknown)[0], options.QUIRKS)
    if not concept:
        raise UserError("no concept prompt given; at least one is needed")
    adversarial = isinstance(options, AdvUnlearnOptions)
    check_room(frozen, concept, options.attack_tokens if isinstance(options, AdvUnlearnOptions) else 0)
    folders = banks or (None, None)
    bank = bank_for(frozen, options, concept, options.per_prompt, seed, folders[0])
    if not adversarial:
        method = ESD(frozen, options, concept, bank)
    else:
        assert isinstance(options, AdvUnlearnOptions)
        retain = None
        if retain_set and options.retain_weight > 0:
            retain = bank_for(frozen, options, retain_set, options.retain_per_prompt, seed + 1, folders[1])
        method = AdvUnlearn(frozen, options, concept, bank, retain)
    if options.resample and options.component == "unet":
        method.bank.model = method.model  # the official code samples from the UNet in training
    return method


def train(method: ESD, seed: int = 0, path: Path | None = None, save_every: float = 20.0) -> Erased:
    """Run ``method`` to the end. With ``path``, a checkpoint is kept there and a stopped run goes on from it.

    Iteration i draws from a generator seeded by (seed, i), so a resumed run equals an uninterrupted one.
    """
    options = method.options
    module = torch.nn.ParameterDict({name.replace(".", "/"): p for name, p in method.trained.items()})
    optimizer = torch.optim.Adam(method.trained.values(), lr=options.lr)
    losses: list[float] = []
    seconds, start = 0.0, 0
    if path is not None and path.exists():
        meta: dict[str, Any] = checkpoint.load(path, {"trained": module}, optimizer)
        start, losses, seconds = meta["step"], meta["losses"], meta["seconds"]
        method.state = {name: torch.tensor(value) for name, value in meta["state"].items()}
    saved = time.monotonic()
    bar = tqdm(range(start, options.iterations), initial=start, total=options.iterations, desc="erase", leave=False)
    for iteration in bar:
        began = time.monotonic()
        loss = method.loss(iteration, torch.Generator().manual_seed(seed * 1_000_003 + iteration))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds += time.monotonic() - began
        bar.set_postfix(loss=f"{losses[-1]:.4f}")
        if path is not None and time.monotonic() - saved > save_every:
            state = {name: value.tolist() for name, value in method.state.items()}
            checkpoint.save(path, {"trained": module}, optimizer, step=iteration + 1, losses=losses, seconds=seconds, state=state)
            saved = time.monotonic()
    for parameter in method.trained.values():
        parameter.requires_grad_(False)
    return Erased(method.model, options.component, losses, seconds / options.iterations)


def erase(
    frozen: LatentDiffusion,
    concept: str | list[str],
    method: str = "advunlearn",
    retain_set: list[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> Erased:
    """Erase ``concept`` from ``frozen`` (left untouched) and return the erased model.

    ``options`` are those of :class:`ESDOptions` or :class:`AdvUnlearnOptions`; without a retain set give
    ``retain_weight=0``. Raises :class:`UserError` for an unknown method, option value or a prompt without tokens.
    """
    chosen = METHODS[choose("method", method, METHODS)](**options)
    return train(prepare(frozen, [concept] if isinstance(concept, str) else concept, chosen, retain_set, seed), seed)
