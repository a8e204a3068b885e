"""From a cell of the paper to a number: what ``recipes.py`` describes, carried out once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from advunlearn_lib.attacks.attack import BATCH
from advunlearn_lib.attacks.pictures import target_latents
from advunlearn_lib.attacks.records import AttackResult, EvaluationPrompt, Judge
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.keys import Recipe, key_of
from advunlearn_lib.base.paths import store_root
from advunlearn_lib.base.store import Cache, Store
from advunlearn_lib.diffusion.device import device_named
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import DTYPES, LatentDiffusion
from advunlearn_lib.diffusion.weights import load_part
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.choose_prompts import choose_prompts
from advunlearn_lib.experiment.distributed import shared_cell, split_work
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.experiment.samples import KEPT
from advunlearn_lib.metrics.asr import attack_success_rate
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.metrics.judges import load_judge
from advunlearn_lib.metrics.quality import load_features, measure_quality
from advunlearn_lib.profiles.schema import Concept, Profile


class Study:
    """All cells of one profile and seed. Models are loaded when first needed.

    Raises :class:`UserError` where the store cannot be
    written, and from any cell that the paper does not have.
    """

    def __init__(self, profile: Profile, store: Store | None = None) -> None:
        self.profile, self.recipes = profile, Recipes(profile)
        self.store = store or Store(store_root(profile.name))
        self._bases: dict[str, LatentDiffusion] = {}
        self._models: dict[str, LatentDiffusion] = {}

    @cached_property
    def device(self) -> torch.device:
        """Where networks live."""
        return device_named(self.profile.device)

    @cached_property
    def features(self) -> Any:
        """The network whose features FID uses."""
        return load_features(self.profile.judge(self.profile.fid_features), self.device)

    @cached_property
    def clip(self) -> Any:
        """CLIP model and processor."""
        return load_clip(self.profile.clip, self.device)

    @cached_property
    def attack_clip(self) -> Any:
        """CLIP model and processor of the attacks that need one."""
        return load_clip(self.profile.attack_clip, self.device)

    def judge(self, concept: Concept) -> Judge:
        """The concept's success test."""
        where = self.profile.judge_of(concept)
        pinned = self.profile.detector_sha256
        return load_judge(where, list(concept.labels), concept.threshold, self.device, pinned)

    # -- models ------------------------------------------------------------------------------------------

    def base(self, folder: str = "") -> LatentDiffusion:
        """A model before any erasing: without ``folder`` the
        profile's own; a UNet's folder stands on that one.
        """
        folder = folder or self.profile.base
        if folder not in self._bases:
            if (Path(folder) / "config.json").exists():
                unet = UNet2DConditionModel.from_pretrained(folder).to(self.device)
                self._bases[folder] = self.base().with_parts(unet=unet)
            else:
                self._bases[folder] = load_model(folder, self.device)
            if folder != self.profile.base:  # Table 8's all draw at one size
                self._bases[folder].unet.register_to_config(sample_size=self.base().latent_shape()[-1])
        return self._bases[folder]

    def model(self, row: Row) -> LatentDiffusion:
        """The model of a table row, trained if need be."""
        base, trained = self.base(self.recipes.base(row)), self.recipes.trained(row)
        if trained is None:
            return base
        recipe = self.recipes.erase(trained)
        key = key_of(recipe) + self.recipes.base(row)
        if key not in self._models:
            if where := self.recipes.checkpoint(trained):
                part, module = load_part(where, base)
            else:
                part, module = self._trained_part(recipe, base)
            self._models[key] = base.with_parts(**{part: module})
        return self._models[key]

    def _trained_part(self, recipe: Recipe, base: LatentDiffusion) -> tuple[str, Any]:
        """(component, module) of a trained model; damaged weights are named and made again."""
        part, folder = recipe["options"]["component"], self.store.folder("erase", recipe)
        for attempt in range(2):
            shared_cell(self.store, "erase", recipe, lambda partial: self._erase(partial, recipe))
            try:
                return load_part(folder / "weights", base, part)
            except UserError as error:
                if attempt:
                    raise
                self.store.forget("erase", recipe, str(error))
        raise AssertionError("unreachable")

    def _erase(self, folder: Path, recipe: Recipe) -> dict[str, Any]:
        cache = Cache(self.store, {"base": recipe["base"]})
        frozen = self.base().in_precision(DTYPES[self.profile.precision])
        method = prepare(recipe["method"], Task.of(recipe, frozen, cache), recipe["options"])
        erased = train(method, recipe["seed"], folder / "checkpoint.safetensors")
        erased.save_pretrained(folder / "weights")
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        return {"losses": erased.losses, "seconds": erased.seconds, "numbers": erased.numbers}

    # -- prompts and attacks -----------------------------------------------------------------------------

    def prompts(self, name: str) -> tuple[list[EvaluationPrompt], Tensor]:
        """Prompts on which the base model shows the concept,
        and the latents z_0 [n, c, h, w] of those pictures.

        Raises :class:`UserError` where the base model shows it on too few.
        """
        recipe, concept = self.recipes.prompts(name), self.recipes.concept(name)

        def compute(folder: Path) -> list[dict[str, Any]]:
            profile, sampling, count = self.profile, self.recipes.sampling, recipe["count"]
            candidates = self.recipes.source.evaluation(concept, count)
            judge = self.judge(concept) if profile.select else None
            prompts = choose_prompts(candidates, count, self.base(), judge, sampling, profile)
            latents = target_latents(self.base(), prompts, self.recipes.target_sampling, self.profile.batch)
            save_file({"latents": latents.cpu().contiguous()}, folder / "targets.safetensors")
            return [vars(prompt) for prompt in prompts]

        record = shared_cell(self.store, "prompts", recipe, compute)
        targets = load_file(self.store.folder("prompts", recipe) / "targets.safetensors")["latents"]
        return [EvaluationPrompt(**row) for row in record["result"]], targets.to(self.device)

    def attack(self, row: Row, attack: str = "UnlearnDiffAtk") -> AttackResult:
        """Each evaluation prompt's outcome."""
        recipe, kind = self.recipes.attack(row, attack), ATTACKS[attack]

        def compute(folder: Path) -> dict[str, Any]:
            prompts, targets = self.prompts(row.concept)
            run = kind(
                self.model(row),
                self.judge(self.recipes.concept(row.concept)),
                self.recipes.budget(row.concept, attack),
                self.recipes.sampling,
                self.profile.seed,
                original=self.base(),
                clip=self.attack_clip if kind.NEEDS_CLIP else None,
                batch=min(self.profile.batch, BATCH),
            )
            parts = split_work(len(prompts), lambda numbers: [run.run(prompts, targets, numbers)])
            flags = sorted({flag for part in parts for flag in part.flags})
            return AttackResult(prompts=[p for part in parts for p in part.prompts], flags=flags).model_dump()

        return AttackResult(**shared_cell(self.store, "attack", recipe, compute, together=True)["result"])

    # -- pictures ----------------------------------------------------------------------------------------

    def quality(self, row: Row) -> dict[str, Estimate]:
        """``fid`` against real pictures of the same captions, and ``clip``, the CLIP score."""
        recipe, profile = self.recipes.quality(row), self.profile

        def compute(folder: Path) -> dict[str, Any]:
            model = self.model(row)  # before the work is split: processes wait for each other here
            estimates = measure_quality(
                model,
                self.captions(recipe["avoid"]),
                self.recipes.quality_sampling,
                self.clip,
                self.features,
                self.reference(recipe["avoid"]),
                profile.batch,
                profile.seed,
                split_work,
                folder / KEPT,
            )
            return {metric: estimate.model_dump() for metric, estimate in estimates.items()}

        record = shared_cell(self.store, "quality", recipe, compute, together=True)
        return {metric: Estimate(**value) for metric, value in record["result"].items()}

    def captions(self, avoid: Sequence[str]) -> list[EvaluationPrompt]:
        """Captions of the pictures that FID and CLIP score are measured on."""
        texts, seeds = self.recipes.source.captions(self.profile.fid_images, avoid)
        return [EvaluationPrompt(text, seed) for text, seed in zip(texts, seeds, strict=True)]

    def reference(self, avoid: Sequence[str]) -> Tensor | Statistics:
        """Features [n, d] of real pictures of such captions, or their statistics."""
        real = self.recipes.source.references(self.profile.fid_images, avoid)
        return real if isinstance(real, Statistics) else self.features.features(real)

    def pictures(self, row: Row, texts: list[str], seeds: list[int]) -> Tensor:
        """What a model draws, [n, 3, h, w] in [0, 1], for a panel."""

        def make() -> dict[str, Tensor]:
            images = self.model(row).generate(texts, seeds, self.recipes.sampling, self.profile.batch)
            return {"images": images}

        return self.store.tensors("panel", self.recipes.panel(row, texts, seeds), make)["images"]

    # -- numbers -----------------------------------------------------------------------------------------

    def seconds(self, row: Row) -> Estimate:
        """Mean seconds of a training iteration with a bootstrap
        interval, measured while the model was trained.

        Raises :class:`UserError` for weights from elsewhere.
        """
        if where := self.recipes.checkpoint(row):
            raise UserError(f"{where!r} was not trained here, so its seconds per iteration are not known")
        self.model(row)
        record = self.store.read("erase", self.recipes.erase(row))
        assert record is not None
        return bootstrap_mean(np.array(record["result"]["seconds"]), seed=self.profile.seed)

    def estimate(self, cell: Cell) -> Estimate:
        """One number with its interval."""
        if cell.metric == "seconds_per_iteration":
            return self.seconds(cell.row)
        if cell.metric in ("asr", "pre_asr"):
            asr, pre_asr = attack_success_rate(self.attack(cell.row, cell.attack).prompts)
            return asr if cell.metric == "asr" else pre_asr
        return self.quality(cell.row)[cell.metric]
