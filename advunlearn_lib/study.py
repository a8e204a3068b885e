"""From a cell of the paper to a number: what ``recipes.py`` describes, carried out once and kept in the store."""

from __future__ import annotations

import os
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
from transformers import CLIPTextModel

from advunlearn_lib.attacks import ATTACKS, AttackedPrompt, AttackResult, Budget
from advunlearn_lib.attacks.base import judge_prompts
from advunlearn_lib.erasure import Task, prepare, train
from advunlearn_lib.errors import UserError
from advunlearn_lib.metrics.asr import Estimate, attack_success_rate
from advunlearn_lib.metrics.clip_score import load_clip, mean_clip_score
from advunlearn_lib.metrics.fid import frechet_distance
from advunlearn_lib.metrics.judges import Classifier, LabelJudge
from advunlearn_lib.model import LatentDiffusion
from advunlearn_lib.pocket.prompts import evaluation_candidates, fresh_scenes
from advunlearn_lib.profiles import Concept, Profile
from advunlearn_lib.progress import tqdm
from advunlearn_lib.recipes import BASE, Cell, Recipes, Row
from advunlearn_lib.store import ROOT, Recipe, Store, key_of

LOADERS = {"text_encoder": CLIPTextModel, "unet": UNet2DConditionModel}


class Study:
    """All cells of one profile and seed. Models are loaded when first needed."""

    def __init__(self, profile: Profile, store: Store | None = None) -> None:
        self.profile, self.recipes = profile, Recipes(profile)
        self.store = store or Store(Path(os.environ.get("ADVUNLEARN_STORE", ROOT / "store")) / profile.name)
        self.sampling = self.recipes.sampling
        self._bases: dict[Path, LatentDiffusion] = {}
        self._models: dict[str, LatentDiffusion] = {}

    def base(self, folder: Path | None = None) -> LatentDiffusion:
        """A model before any erasing: without ``folder`` the profile's own; a folder of a UNet alone stands on that one."""
        folder = folder or self.profile.base
        if folder not in self._bases:
            alone = (folder / "config.json").exists()
            found = (
                self.base().with_parts(unet=UNet2DConditionModel.from_pretrained(folder).float()) if alone else LatentDiffusion.load(folder)
            )
            self._bases[folder] = found
        return self._bases[folder]

    @cached_property
    def classifier(self) -> Classifier:
        """The object judge, whose features FID uses."""
        return Classifier(self.profile.judges / "judge-object")

    @cached_property
    def clip(self) -> Any:
        """CLIP model and processor."""
        return load_clip(self.profile.clip)

    def judge(self, concept: Concept) -> LabelJudge:
        """The concept's success test."""
        folder = self.profile.judges / concept.judge
        classifier = self.classifier if concept.judge == "judge-object" else Classifier(folder)
        return LabelJudge(classifier, list(concept.labels), concept.threshold)

    def model(self, row: Row) -> LatentDiffusion:
        """The model of a table row, trained if need be."""
        base, trained = self.base(self.recipes.base(row)), self.recipes.trained(row)
        if trained is None:
            return base
        recipe = self.recipes.erase(trained)
        key = key_of(recipe) + str(self.recipes.base(row))
        if key not in self._models:
            part, folder = recipe["options"]["component"], self.store.folder("erase", recipe)
            for attempt in range(2):
                self.store.cell("erase", recipe, lambda partial: self._erase(partial, recipe))
                try:
                    loaded = LOADERS[part].from_pretrained(folder / "weights").float()
                    break
                except (OSError, SafetensorError) as error:
                    if attempt:
                        raise
                    self.store.forget(folder, str(error))
            self._models[key] = base.with_parts(**{part: loaded})
        return self._models[key]

    def _erase(self, folder: Path, recipe: Recipe) -> dict[str, Any]:
        lists: dict[str, Any] = {name: recipe[name] for name in ("concept", "names", "retain_set", "surrogate")}
        task = Task(self.base(), **lists, seed=recipe["seed"], cache=self.store.root / f"data-{recipe['base']}")
        method = prepare(recipe["method"], task, recipe["options"])
        erased = train(method, recipe["seed"], folder / "checkpoint.safetensors")
        erased.save_pretrained(folder / "weights")
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        return {"losses": erased.losses, "seconds": erased.seconds}

    def prompts(self, name: str) -> tuple[list[AttackedPrompt], Tensor]:
        """Prompts on which the base model shows the concept, and the latents z_0 of those pictures."""
        recipe, concept = self.recipes.prompts(name), self.recipes.concept(name)

        def compute(folder: Path) -> list[dict[str, Any]]:
            found: list[AttackedPrompt] = []
            candidates, batch = evaluation_candidates(concept.kind, concept.labels, 3 * self.profile.prompts), self.profile.batch
            for start in range(0, len(candidates), batch):
                part = candidates[start : start + batch]
                texts, seeds = [p.text for p in part], [p.seed for p in part]
                success = judge_prompts(self.base(), self.judge(concept), texts, seeds, self.sampling, batch).tolist()
                found += [prompt for prompt, good in zip(part, success, strict=True) if good]
                if len(found) >= self.profile.prompts:
                    break
            if len(found) < self.profile.prompts:
                shown = f"the base model shows {concept.name!r} on {len(found)} of {len(candidates)} prompts"
                raise UserError(f"{shown}; {self.profile.prompts} are needed")
            found = found[: self.profile.prompts]
            images = self.base().generate([p.text for p in found], [p.seed for p in found], self.sampling, batch)
            save_file({"latents": self.base().encode_images(images).contiguous()}, folder / "targets.safetensors")
            return [vars(prompt) for prompt in found]

        record = self.store.cell("prompts", recipe, compute)
        targets = load_file(self.store.folder("prompts", recipe) / "targets.safetensors")["latents"]
        return [AttackedPrompt(**row) for row in record["result"]], targets

    def attack(self, row: Row, attack: str = "UnlearnDiffAtk") -> AttackResult:
        """Each evaluation prompt's outcome."""
        recipe = self.recipes.attack(row, attack)

        def compute(folder: Path) -> dict[str, Any]:
            prompts, targets = self.prompts(row.concept)
            judge, clip = self.judge(self.recipes.concept(row.concept)), self.clip if attack == "PEZ" else None
            run = ATTACKS[attack](self.model(row), judge, Budget(**recipe["budget"]), self.sampling, self.profile.seed, self.base(), clip)
            return run.run(prompts, targets).model_dump()

        return AttackResult(**self.store.cell("attack", recipe, compute)["result"])

    def quality(self, row: Row) -> dict[str, Estimate]:
        """FID against fresh pictures of the same captions, and CLIP score."""
        recipe = self.recipes.quality(row)

        def compute(folder: Path) -> dict[str, Any]:
            count = self.profile.fid_images
            scenes = fresh_scenes(self.profile.sprites, count, recipe["avoid"])
            captions = [scene.caption for scene in scenes.scenes]
            with tqdm(total=count, desc="pictures", leave=False) as bar:
                images = self.model(row).generate(
                    captions, range(count), self.sampling, self.profile.batch, lambda done: bar.update(done - bar.n)
                )
            real = self.classifier.features(torch.from_numpy(scenes.images).permute(0, 3, 1, 2).float() / 255)
            fid = frechet_distance(real, self.classifier.features(images), seed=self.profile.seed)
            clip = mean_clip_score(self.clip, images, captions, self.profile.seed)
            return {"fid": fid.model_dump(), "clip": clip.model_dump()}

        record = self.store.cell("quality", recipe, compute)
        return {metric: Estimate(**value) for metric, value in record["result"].items()}

    def pictures(self, row: Row, texts: list[str], seeds: list[int]) -> Tensor:
        """What a model draws, [n, 3, h, w] in [0, 1], for a panel."""
        recipe = self.recipes.common() | {"model": key_of(self.recipes.erase(row)), "sampling": vars(self.sampling)}
        recipe |= {"texts": texts, "seeds": seeds}

        def compute(folder: Path) -> None:
            images = self.model(row).generate(texts, seeds, self.sampling, self.profile.batch)
            save_file({"images": images.contiguous()}, folder / "images.safetensors")

        self.store.cell("panel", recipe, compute)
        return load_file(self.store.folder("panel", recipe) / "images.safetensors")["images"]

    def seconds(self, row: Row) -> Estimate:
        """Mean seconds of a training iteration with a bootstrap interval, measured while the model was trained."""
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
