"""From a cell of the paper to a number: what ``protocol.py`` specifies, carried out once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from advunlearn_lib.attacks.attack import BATCH
from advunlearn_lib.attacks.records import AttackResult
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.keys import fingerprint
from advunlearn_lib.base.paths import store_root
from advunlearn_lib.base.sealed import Record
from advunlearn_lib.base.store import Cache, Store
from advunlearn_lib.diffusion.classes import class_named
from advunlearn_lib.diffusion.device import device_named
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.weights import load_part
from advunlearn_lib.experiment.attack_spec import AttackSpec, PromptsSpec
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.distributed import shared_cell, split_work
from advunlearn_lib.experiment.erasure_spec import ModelSpec
from advunlearn_lib.experiment.picture_specs import KEPT, QualitySpec
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.spec import Spec
from advunlearn_lib.metrics.asr import attack_success_rate
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.metrics.quality import load_features
from advunlearn_lib.profiles.schema import Profile

TARGETS = "targets.safetensors"


class Study:
    """All cells of one profile and seed. Models are loaded when first needed, records read once.

    Raises :class:`UserError` where the store cannot be written, and from cells that the paper does not have.
    """

    def __init__(self, profile: Profile, store: Store | None = None) -> None:
        self.profile, self.protocol = profile, Protocol(profile)
        self.store = store or Store(store_root(profile.name))
        self._bases: dict[str, LatentDiffusion] = {}
        self._models: dict[str, LatentDiffusion] = {}
        self._clips: dict[str, Any] = {}
        self._records: dict[str, Record] = {}

    @cached_property
    def device(self) -> torch.device:
        """Where networks live."""
        return device_named(self.profile.device)

    @cached_property
    def features(self) -> Any:
        """The network whose features FID uses."""
        return load_features(self.profile.judge(self.profile.fid_features), self.device)

    def clip(self, where: str) -> Any:
        """CLIP model and processor: the score's, or an attack's."""
        if where not in self._clips:
            self._clips[where] = load_clip(where, self.device)
        return self._clips[where]

    def record(self, spec: Spec) -> Record | None:
        """What the store holds of a finished cell; it is read once."""
        if spec.key not in self._records and (record := self.store.read(spec.KIND, spec.recipe)):
            self._records[spec.key] = record
        return self._records.get(spec.key)

    def made(self, spec: Spec, compute: Callable[[Path], Any], together: bool = False) -> Record:
        """The same, computed if nobody has yet: by the first process, or by all ``together``."""
        if (record := self.record(spec)) is None:
            record = shared_cell(self.store, spec.KIND, spec.recipe, compute, together)
        return record

    # -- models ------------------------------------------------------------------------------------------

    def base(self, folder: str = "") -> LatentDiffusion:
        """A model before any erasing: without ``folder`` the profile's own.

        A folder with a UNet alone stands on that one.
        """
        folder = folder or self.profile.base
        if folder not in self._bases:
            if (Path(folder) / "config.json").exists():
                unet = class_named("UNet2DConditionModel").from_pretrained(folder).to(self.device)
                self._bases[folder] = self.base().with_parts(unet=unet)
            else:
                self._bases[folder] = load_model(folder, self.device)
            if folder != self.profile.base:  # Table 8's all draw at one size
                self._bases[folder].unet.register_to_config(sample_size=self.base().latent_shape()[-1])
        return self._bases[folder]

    def cache(self, base: LatentDiffusion) -> Cache:
        """Where sampling paths and pictures of ``base`` are kept for the next training."""
        return Cache(self.store, {"base": fingerprint(base.name)})

    def model(self, row: Row) -> LatentDiffusion:
        """The model of a table row, trained if need be."""
        return self.load(self.protocol.model(row))

    def load(self, spec: ModelSpec) -> LatentDiffusion:
        """The model, trained if need be."""
        if spec.key not in self._models:
            base, source = self.base(spec.base), spec.donor or spec
            if source.checkpoint:
                part, module = load_part(source.checkpoint, base)
                base = base.with_parts(**{part: module})
            elif source.erasure is not None:
                part, module = self._trained_part(source, base)
                base = base.with_parts(**{part: module})
            self._models[spec.key] = base
        return self._models[spec.key]

    def _trained_part(self, spec: ModelSpec, base: LatentDiffusion) -> tuple[str, Any]:
        """(component, module) of a trained model."""
        assert spec.erasure is not None
        self.trained(spec)
        weights = self.store.folder("erase", spec.recipe) / "weights"
        return load_part(weights, base, spec.erasure.options.component)

    def trained(self, spec: ModelSpec) -> Record:
        """What is kept of a training, which is carried out if need be."""
        return self.made(spec, lambda partial: self._erase(partial, spec))

    def _erase(self, folder: Path, spec: ModelSpec) -> dict[str, Any]:
        assert spec.erasure is not None
        base, path = self.base(spec.base), folder / "checkpoint.safetensors"
        erased = spec.erasure.run(base, self.cache(base), path)
        erased.save_weights(folder / "weights")
        path.unlink(missing_ok=True)
        return {"losses": erased.losses, "seconds": erased.seconds, "numbers": erased.numbers}

    # -- prompts and attacks -----------------------------------------------------------------------------

    def prompts(self, name: str) -> list[EvaluationPrompt]:
        """Prompts on which the base model shows the concept.

        Raises :class:`UserError` where it shows it on too few.
        """
        return self.prompts_of(self.protocol.prompts(name))

    def prompts_of(self, spec: PromptsSpec) -> list[EvaluationPrompt]:
        """The same of a specification."""

        def compute(folder: Path) -> list[dict[str, Any]]:
            assert spec.judge is not None
            base, batch = self.base(), self.profile.batch
            judge = spec.judge.load(self.device) if spec.select else None
            candidates = self.protocol.source.evaluation(spec.kind, spec.judge.labels, spec.file, spec.count)
            prompts = spec.choose(candidates, base, judge, batch)
            latents = spec.targets(base, prompts, batch)
            save_file({"latents": latents.cpu().contiguous()}, folder / TARGETS)
            return [vars(prompt) for prompt in prompts]

        return [EvaluationPrompt(**row) for row in self.made(spec, compute)["result"]]

    def targets(self, spec: PromptsSpec) -> Tensor:
        """Latents z_0 [n, c, h, w] of the pictures that attacks on these prompts aim at."""
        self.prompts_of(spec)
        return load_file(self.store.folder("prompts", spec.recipe) / TARGETS)["latents"].to(self.device)

    def attack(self, row: Row, attack: str = "UnlearnDiffAtk") -> AttackResult:
        """Each evaluation prompt's outcome."""
        return self.attacked(self.protocol.attack(row, attack))

    def attacked(self, spec: AttackSpec) -> AttackResult:
        """The same of a specification."""

        def compute(folder: Path) -> dict[str, Any]:
            assert spec.model is not None and spec.prompts.judge is not None
            prompts, targets = self.prompts_of(spec.prompts), self.targets(spec.prompts)
            clip = self.clip(spec.clip) if spec.clip else None
            judge, batch = spec.prompts.judge.load(self.device), min(self.profile.batch, BATCH)
            run = spec.on(self.load(spec.model), judge, self.base(), clip, batch)
            return spec.run(run, prompts, targets, split_work).model_dump()

        return AttackResult(**self.made(spec, compute, together=True)["result"])

    # -- pictures ----------------------------------------------------------------------------------------

    def quality(self, row: Row) -> dict[str, Estimate]:
        """``fid`` against real pictures of the same captions, and ``clip``, the CLIP score."""
        return self.measured(self.protocol.quality(row))

    def measured(self, spec: QualitySpec) -> dict[str, Estimate]:
        """The same of a specification."""

        def compute(folder: Path) -> dict[str, Any]:
            assert spec.model is not None
            model = self.load(spec.model)  # before the work is split: processes wait for each other here
            captions, reference = self.captions(spec.avoid), self.reference(spec.avoid)
            networks, batch = (self.clip(spec.clip), self.features), self.profile.batch
            estimates = spec.run(model, captions, *networks, reference, batch, split_work, folder / KEPT)
            return {metric: estimate.model_dump() for metric, estimate in estimates.items()}

        numbers = self.made(spec, compute, together=True)["result"]
        return {metric: Estimate(**value) for metric, value in numbers.items()}

    def captions(self, avoid: Sequence[str]) -> list[EvaluationPrompt]:
        """Captions of the pictures that FID and CLIP score are measured on."""
        texts, seeds = self.protocol.source.captions(self.profile.fid_images, avoid)
        return [EvaluationPrompt(text, seed) for text, seed in zip(texts, seeds, strict=True)]

    def reference(self, avoid: Sequence[str]) -> Tensor | Statistics:
        """Features [n, d] of real pictures of such captions, or their statistics."""
        real = self.protocol.source.references(self.profile.fid_images, avoid)
        return real if isinstance(real, Statistics) else self.features.features(real)

    def pictures(self, row: Row, texts: list[str], seeds: list[int]) -> Tensor:
        """What a model draws, [n, 3, h, w] in [0, 1], for a panel."""
        spec = self.protocol.panel(row, texts, seeds)

        def make() -> dict[str, Tensor]:
            return {"images": self.model(row).generate(texts, seeds, spec.sampling, self.profile.batch)}

        return self.store.tensors("panel", spec.recipe, make)["images"]

    def seen(self, row: Row, texts: list[str], seeds: list[int]) -> list[bool]:
        """In which of these :meth:`pictures` the row's judge sees its concept."""
        judge = self.protocol.judge(row.concept)
        recipe = {"panel": self.protocol.panel(row, texts, seeds).recipe, "judge": judge.model_dump()}

        def make() -> dict[str, Tensor]:
            return {"seen": judge.load(self.device)(self.pictures(row, texts, seeds)).cpu()}

        return [bool(one) for one in self.store.tensors("seen", recipe, make)["seen"]]

    # -- numbers -----------------------------------------------------------------------------------------

    def seconds(self, row: Row) -> Estimate:
        """Mean seconds of a training iteration with a bootstrap interval, measured while it was trained.

        Raises :class:`UserError` for weights from elsewhere.
        """
        if where := self.protocol.checkpoint(row):
            raise UserError(f"{where!r} was not trained here, so its seconds per iteration are not known")
        record = self.trained(self.protocol.model(row))
        return bootstrap_mean(np.array(record["result"]["seconds"]), seed=self.profile.seed)

    def estimate(self, cell: Cell) -> Estimate:
        """One number with its interval."""
        if cell.metric == "seconds_per_iteration":
            return self.seconds(cell.row)
        if cell.metric in ("asr", "pre_asr"):
            asr, pre_asr = attack_success_rate(self.attack(cell.row, cell.attack).prompts)
            return asr if cell.metric == "asr" else pre_asr
        return self.quality(cell.row)[cell.metric]
