"""From a cell of the paper to a number: what ``recipes.py`` describes, carried out once and kept in the store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from scipy.stats import bootstrap
from torch import Tensor

from advunlearn_lib import shards
from advunlearn_lib.attacks import ATTACKS, AttackedPrompt, AttackResult, Budget
from advunlearn_lib.attacks.base import draw, judge_prompts
from advunlearn_lib.attacks.records import Judge
from advunlearn_lib.device import device_named
from advunlearn_lib.erasure import Task, prepare, train
from advunlearn_lib.errors import UserError
from advunlearn_lib.metrics.asr import Estimate, attack_success_rate
from advunlearn_lib.metrics.clip_score import clip_scores, load_clip, mean_clip_score
from advunlearn_lib.metrics.fid import Statistics, frechet_distance
from advunlearn_lib.metrics.inception import Inception
from advunlearn_lib.metrics.judges import Classifier, load_judge
from advunlearn_lib.model import DTYPES, LatentDiffusion
from advunlearn_lib.profiles import Concept, Profile
from advunlearn_lib.progress import tqdm
from advunlearn_lib.recipes import BASE, Cell, Recipes, Row
from advunlearn_lib.store import ROOT, Recipe, Store, key_of
from advunlearn_lib.weights import LOADERS, load_part

PICTURES = 100  # held in memory at once; a multiple of the CLIP score's blocks


class Study:
    """All cells of one profile and seed. Models are loaded when first needed."""

    def __init__(self, profile: Profile, store: Store | None = None) -> None:
        self.profile, self.recipes = profile, Recipes(profile)
        self.store = store or Store(Path(os.environ.get("ADVUNLEARN_STORE", ROOT / "store")) / profile.name)
        self.sampling = self.recipes.sampling
        self._bases: dict[tuple[str, torch.dtype], LatentDiffusion] = {}
        self._models: dict[str, LatentDiffusion] = {}

    @cached_property
    def device(self) -> torch.device:
        """Where networks live."""
        return device_named(self.profile.device)

    def base(self, folder: str = "", precision: str = "fp32") -> LatentDiffusion:
        """A model before any erasing: without ``folder`` the profile's own; a folder of a UNet alone stands on that one."""
        folder, dtype = folder or self.profile.base, DTYPES[precision]
        if (folder, dtype) not in self._bases:
            if (Path(folder) / "config.json").exists():
                unet = UNet2DConditionModel.from_pretrained(folder).to(self.device, dtype)
                self._bases[folder, dtype] = self.base(precision=precision).with_parts(unet=unet)
            else:
                self._bases[folder, dtype] = LatentDiffusion.load(folder, self.device, dtype)
        return self._bases[folder, dtype]

    @cached_property
    def features(self) -> Any:
        """The network whose features FID uses."""
        name = self.profile.fid_features
        return Inception(self.device) if name == "inception" else Classifier(self.profile.judge(name), device=self.device)

    @cached_property
    def clip(self) -> Any:
        """CLIP model and processor."""
        return load_clip(self.profile.clip)

    def judge(self, concept: Concept) -> Judge:
        """The concept's success test."""
        return load_judge(self.profile.judge(concept.judge), list(concept.labels), concept.threshold, self.device)

    def model(self, row: Row) -> LatentDiffusion:
        """The model of a table row, trained if need be."""
        base, trained = self.base(self.recipes.base(row)), self.recipes.trained(row)
        if trained is None:
            return base
        recipe = self.recipes.erase(trained)
        key = key_of(recipe) + str(self.recipes.base(row))
        if key not in self._models and "checkpoint" in recipe:
            part, loaded = load_part(self.recipes.checkpoint(trained), base)
            self._models[key] = base.with_parts(**{part: loaded})
        if key not in self._models:
            part, folder = recipe["options"]["component"], self.store.folder("erase", recipe)
            for attempt in range(2):
                shards.cell(self.store, "erase", recipe, lambda partial: self._erase(partial, recipe))
                try:
                    loaded = LOADERS[part].from_pretrained(folder / "weights").float().to(self.device)
                    break
                except (OSError, SafetensorError) as error:
                    if attempt:
                        raise
                    self.store.forget(folder, str(error))
            self._models[key] = base.with_parts(**{part: loaded})
        return self._models[key]

    def _erase(self, folder: Path, recipe: Recipe) -> dict[str, Any]:
        lists: dict[str, Any] = {name: recipe[name] for name in ("concept", "names", "retain_set", "surrogate")}
        task = Task(
            self.base(precision=self.profile.precision), **lists, seed=recipe["seed"], cache=self.store.root / f"data-{recipe['base']}"
        )
        method = prepare(recipe["method"], task, recipe["options"])
        erased = train(method, recipe["seed"], folder / "checkpoint.safetensors")
        erased.save_pretrained(folder / "weights")
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        return {"losses": erased.losses, "seconds": erased.seconds}

    def prompts(self, name: str) -> tuple[list[AttackedPrompt], Tensor]:
        """Prompts on which the base model shows the concept, and the latents z_0 of those pictures."""
        recipe, concept = self.recipes.prompts(name), self.recipes.concept(name)

        def compute(folder: Path) -> list[dict[str, Any]]:
            candidates = self.recipes.source.evaluation(concept, self.profile.prompts)
            found = self.select(candidates, self.judge(concept)) if self.profile.select else candidates[: self.profile.prompts]
            found = [replace(prompt, exempt=self.too_long(prompt.text)) for prompt in found]
            if len(found) < min(self.profile.prompts, len(candidates)):
                shown = f"the base model shows {concept.name!r} on {len(found)} of {len(candidates)} prompts"
                raise UserError(f"{shown}; {self.profile.prompts} are needed")
            parts = (found[start : start + self.profile.batch] for start in range(0, len(found), self.profile.batch))
            latents = [self.base().encode_images(draw(self.base(), part, self.recipes.target_sampling)) for part in parts]
            save_file({"latents": torch.cat(latents).cpu().contiguous()}, folder / "targets.safetensors")
            return [vars(prompt) for prompt in found]

        record = shards.cell(self.store, "prompts", recipe, compute)
        targets = load_file(self.store.folder("prompts", recipe) / "targets.safetensors")["latents"]
        return [AttackedPrompt(**row) for row in record["result"]], targets.to(self.device)

    def too_long(self, text: str) -> bool:
        """Has ``text`` more tokens, start and end included, than the profile attacks?"""
        return 0 < self.profile.longest < len(self.base().tokenizer([text]).input_ids[0])

    def select(self, candidates: list[AttackedPrompt], judge: Judge) -> list[AttackedPrompt]:
        """The first candidates on which the base model shows the concept, as many as the profile wants."""
        found: list[AttackedPrompt] = []
        for start in range(0, len(candidates), self.profile.batch):
            part = candidates[start : start + self.profile.batch]
            success = judge_prompts(self.base(), judge, part, self.sampling, self.profile.batch).tolist()
            found += [prompt for prompt, good in zip(part, success, strict=True) if good]
            if len(found) >= self.profile.prompts:
                break
        return found[: self.profile.prompts]

    def attack(self, row: Row, attack: str = "UnlearnDiffAtk") -> AttackResult:
        """Each evaluation prompt's outcome."""
        recipe = self.recipes.attack(row, attack)

        def compute(folder: Path) -> dict[str, Any]:
            prompts, targets = self.prompts(row.concept)
            judge, clip = self.judge(self.recipes.concept(row.concept)), self.clip if attack == "PEZ" else None
            run = ATTACKS[attack](self.model(row), judge, Budget(**recipe["budget"]), self.sampling, self.profile.seed, self.base(), clip)
            parts = shards.share(len(prompts), lambda mine: [run.run(prompts, targets, mine)])
            flags = {flag for part in parts for flag in part.flags}
            return AttackResult(prompts=[p for part in parts for p in part.prompts], flags=sorted(flags)).model_dump()

        return AttackResult(**shards.cell(self.store, "attack", recipe, compute, together=True)["result"])

    def quality(self, row: Row) -> dict[str, Estimate]:
        """FID against fresh pictures of the same captions, and CLIP score."""
        recipe = self.recipes.quality(row)

        def compute(folder: Path) -> dict[str, Any]:
            source, asked = self.recipes.source, (self.profile.fid_images, recipe["avoid"])
            captions, seeds = source.captions(*asked)
            model = self.model(row)  # before the work is shared: processes wait for each other here
            starts = range(0, len(captions), PICTURES)

            def look(mine: Sequence[int]) -> list[tuple[Tensor, np.ndarray]]:
                """Features and CLIP scores, some pictures at a time: ten thousand would not fit in memory."""
                found = []
                for start in tqdm([starts[number] for number in mine], desc="pictures", leave=False):
                    texts, some = captions[start : start + PICTURES], seeds[start : start + PICTURES]
                    images = model.generate(texts, some, self.recipes.quality_sampling, self.profile.batch)
                    found.append((self.features.features(images), clip_scores(self.clip, images, texts)))
                return found

            features, scores = zip(*shards.share(len(starts), look), strict=True)
            real = source.references(*asked)
            real = real if isinstance(real, Statistics) else self.features.features(real)
            fid = frechet_distance(real, torch.cat(features), seed=self.profile.seed)
            clip = mean_clip_score(np.concatenate(scores), len(captions), self.profile.seed)
            return {"fid": fid.model_dump(), "clip": clip.model_dump()}

        record = shards.cell(self.store, "quality", recipe, compute, together=True)
        return {metric: Estimate(**value) for metric, value in record["result"].items()}

    def pictures(self, row: Row, texts: list[str], seeds: list[int]) -> Tensor:
        """What a model draws, [n, 3, h, w] in [0, 1], for a panel."""
        recipe = self.recipes.common() | {"model": key_of(self.recipes.erase(row)), "sampling": vars(self.sampling)}
        recipe |= {"texts": texts, "seeds": seeds}

        def compute(folder: Path) -> None:
            images = self.model(row).generate(texts, seeds, self.sampling, self.profile.batch)
            save_file({"images": images.contiguous()}, folder / "images.safetensors")

        shards.cell(self.store, "panel", recipe, compute)
        return load_file(self.store.folder("panel", recipe) / "images.safetensors")["images"]

    def seconds(self, row: Row) -> Estimate:
        """Mean seconds of a training iteration with a bootstrap interval, measured while the model was trained.

        Raises :class:`UserError` for weights from elsewhere.
        """
        if where := self.recipes.checkpoint(row):
            raise UserError(f"{where!r} was not trained here, so its seconds per iteration are not known")
        self.model(row)
        record = self.store.read("erase", self.recipes.erase(row))
        assert record is not None
        seconds = np.array(record["result"]["seconds"])
        rng = np.random.default_rng(self.profile.seed)
        interval = bootstrap((seconds,), np.mean, n_resamples=1000, method="percentile", rng=rng).confidence_interval
        return Estimate(value=float(seconds.mean()), low=float(interval.low), high=float(interval.high), n=len(seconds))

    def estimate(self, cell: Cell) -> tuple[Estimate, str]:
        """One number and the key of the recipe behind it."""
        kind, recipe = self.recipes.cell(cell)
        if cell.metric == "seconds_per_iteration":
            return self.seconds(cell.row), key_of(recipe)
        if kind == "quality":
            return self.quality(cell.row)[cell.metric], key_of(recipe)
        asr, pre = attack_success_rate(self.attack(cell.row, cell.attack).prompts)
        return asr if cell.metric == "asr" else pre, key_of(recipe)


__all__ = ["BASE", "Cell", "Row", "Study"]
