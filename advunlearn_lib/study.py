"""From a cell of the paper to a number: recipes, their order, and the store between them.

prompts -> erased model -> attack -> ASR
                        -> pictures -> FID, CLIP score
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel

from advunlearn_lib.attacks import ATTACKS, AttackedPrompt, AttackResult, Budget
from advunlearn_lib.attacks.base import judge_prompts
from advunlearn_lib.erasure import METHODS, Task, prepare, train
from advunlearn_lib.errors import UserError, choose
from advunlearn_lib.metrics.asr import Estimate, attack_success_rate
from advunlearn_lib.metrics.clip_score import load_clip, mean_clip_score
from advunlearn_lib.metrics.fid import frechet_distance
from advunlearn_lib.metrics.judges import Classifier, LabelJudge
from advunlearn_lib.model import LatentDiffusion, Sampling
from advunlearn_lib.pocket.prompts import evaluation_candidates, fresh_scenes, retain_set
from advunlearn_lib.profiles import Concept, Profile
from advunlearn_lib.progress import tqdm
from advunlearn_lib.store import ROOT, Recipe, Store, fingerprint, key_of

BASE = "SD v1.4"
LOADERS = {"text_encoder": CLIPTextModel, "unet": UNet2DConditionModel}


class Study:
    """All cells of one profile and seed. Models are loaded when first needed."""

    def __init__(self, profile: Profile, store: Store | None = None) -> None:
        self.profile = profile
        self.store = store or Store(Path(os.environ.get("ADVUNLEARN_STORE", ROOT / "store")) / profile.name)
        self.sampling = Sampling(profile.sampler, profile.sampling_steps, profile.guidance_scale)
        self._models: dict[str, LatentDiffusion] = {}

    @cached_property
    def base(self) -> LatentDiffusion:
        """The model before any erasing."""
        return LatentDiffusion.load(self.profile.base)

    @cached_property
    def classifier(self) -> Classifier:
        """The object judge, whose features FID uses."""
        return Classifier(self.profile.judges / "judge-object")

    def concept(self, name: str) -> Concept:
        """A concept by its name in the paper's tables."""
        return self.profile.concepts[choose("concept", name, self.profile.concepts)]

    def judge(self, concept: Concept) -> LabelJudge:
        """The concept's success test."""
        folder = self.profile.judges / concept.judge
        return LabelJudge(self.classifier if concept.judge == "judge-object" else Classifier(folder), list(concept.labels))

    # -- recipes ---------------------------------------------------------------------------------------------------

    def common(self) -> Recipe:
        """What every cell depends on."""
        return {"base": fingerprint(self.profile.base), "seed": self.profile.seed, "sampling": vars(self.sampling)}

    def erase_recipe(self, name: str, method: str, component: str) -> Recipe:
        """How the model of a table row is made; the base model's recipe has no method."""
        concept = self.concept(name)
        recipe = {"base": fingerprint(self.profile.base), "seed": self.profile.seed}
        if method == BASE:
            return recipe
        row = f"{method} {component} {concept.kind}"
        options = dict(self.profile.methods[choose("method", row, self.profile.methods)])
        kind = options.pop("method")
        filled = METHODS[kind].OPTIONS(**options)
        scaled = {"iterations", "per_prompt", "retain_per_prompt"} & set(type(filled).model_fields)
        filled = filled.model_copy(update={name: max(1, round(getattr(filled, name) * self.profile.scale)) for name in scaled})
        recipe |= {"concept": list(concept.erase), "method": kind, "options": filled.model_dump(mode="json")}
        return recipe | {"retain_set": retain_set(concept.labels)}

    def prompts_recipe(self, name: str) -> Recipe:
        """Which prompts a concept is evaluated on."""
        concept = self.concept(name)
        judge = fingerprint(self.profile.judges / concept.judge)
        return self.common() | {"labels": list(concept.labels), "judge": judge, "count": self.profile.prompts}

    def attack_recipe(self, name: str, method: str, component: str, attack: str) -> Recipe:
        """One attack on one model."""
        choose("attack", attack, ATTACKS)
        profile = self.profile
        budget = Budget(
            tokens=self.concept(name).attack_tokens, timesteps=profile.attack_timesteps, steps=profile.attack_steps, lr=profile.attack_lr
        )
        erased = key_of(self.erase_recipe(name, method, component))
        return self.common() | {"model": erased, "prompts": self.prompts_recipe(name), "attack": attack, "budget": budget.model_dump()}

    def quality_recipe(self, name: str, method: str, component: str) -> Recipe:
        """FID and CLIP score of one model, on captions without the concept (COCO has next to no nudity either)."""
        profile = self.profile
        erased = key_of(self.erase_recipe(name, method, component))
        networks = {"judge": fingerprint(profile.judges / "judge-object"), "clip": fingerprint(profile.clip)}
        return self.common() | {"model": erased, "images": profile.fid_images, "avoid": list(self.concept(name).labels)} | networks

    def cell(self, name: str, method: str, component: str, attack: str, metric: str) -> tuple[str, Recipe]:
        """The store's kind and recipe behind a number. ``metric``: asr, pre_asr, fid, clip, or "model" for the model itself."""
        if metric == "model":
            return "erase", self.erase_recipe(name, method, component)
        if metric in ("asr", "pre_asr"):
            return "attack", self.attack_recipe(name, method, component, attack)
        return "quality", self.quality_recipe(name, method, component)

    # -- cells -----------------------------------------------------------------------------------------------------

    def model(self, name: str, method: str, component: str) -> LatentDiffusion:
        """The model of a table row, trained if need be."""
        if method == BASE:
            return self.base
        recipe = self.erase_recipe(name, method, component)
        if key_of(recipe) not in self._models:
            self.store.cell("erase", recipe, lambda folder: self._erase(folder, recipe))
            part = recipe["options"]["component"]
            loaded = LOADERS[part].from_pretrained(self.store.folder("erase", recipe) / "weights").float()
            self._models[key_of(recipe)] = self.base.with_parts(**{part: loaded})
        return self._models[key_of(recipe)]

    def _erase(self, folder: Path, recipe: Recipe) -> dict[str, Any]:
        cache = self.store.root / f"data-{recipe['base']}"
        task = Task(self.base, recipe["concept"], recipe["retain_set"], seed=recipe["seed"], cache=cache)
        method = prepare(recipe["method"], task, recipe["options"])
        erased = train(method, recipe["seed"], folder / "checkpoint.safetensors")
        erased.save_pretrained(folder / "weights")
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        return {"losses": erased.losses, "seconds_per_iteration": erased.seconds_per_iteration}

    def prompts(self, name: str) -> tuple[list[AttackedPrompt], Tensor]:
        """Prompts on which the base model shows the concept, and the latents z_0 of those pictures."""
        recipe, concept = self.prompts_recipe(name), self.concept(name)

        def compute(folder: Path) -> list[dict[str, Any]]:
            found: list[AttackedPrompt] = []
            candidates, batch = evaluation_candidates(concept.labels, 3 * self.profile.prompts), self.profile.batch
            for start in range(0, len(candidates), batch):
                part = candidates[start : start + batch]
                texts, seeds = [p.text for p in part], [p.seed for p in part]
                success = judge_prompts(self.base, self.judge(concept), texts, seeds, self.sampling, batch).tolist()
                found += [prompt for prompt, good in zip(part, success, strict=True) if good]
                if len(found) >= self.profile.prompts:
                    break
            if len(found) < self.profile.prompts:
                shown = f"the base model shows {concept.name!r} on {len(found)} of {len(candidates)} prompts"
                raise UserError(f"{shown}; {self.profile.prompts} are needed")
            found = found[: self.profile.prompts]
            images = self.base.generate([p.text for p in found], [p.seed for p in found], self.sampling, batch)
            save_file({"latents": self.base.encode_images(images).contiguous()}, folder / "targets.safetensors")
            return [vars(prompt) for prompt in found]

        record = self.store.cell("prompts", recipe, compute)
        targets = load_file(self.store.folder("prompts", recipe) / "targets.safetensors")["latents"]
        return [AttackedPrompt(**row) for row in record["result"]], targets

    def attack(self, name: str, method: str, component: str, attack: str = "UnlearnDiffAtk") -> AttackResult:
        """Each evaluation prompt's outcome."""
        recipe = self.attack_recipe(name, method, component, attack)

        def compute(folder: Path) -> dict[str, Any]:
            prompts, targets = self.prompts(name)
            model, judge, budget = self.model(name, method, component), self.judge(self.concept(name)), Budget(**recipe["budget"])
            clip = load_clip(self.profile.clip) if attack == "PEZ" else None
            run = ATTACKS[attack](model, judge, budget, self.sampling, self.profile.seed, self.base, clip)
            return run.run(prompts, targets).model_dump()

        return AttackResult(**self.store.cell("attack", recipe, compute)["result"])

    def quality(self, name: str, method: str, component: str) -> dict[str, Estimate]:
        """FID against fresh pictures of the same captions, and CLIP score."""
        recipe = self.quality_recipe(name, method, component)

        def compute(folder: Path) -> dict[str, Any]:
            count = self.profile.fid_images
            scenes = fresh_scenes(self.profile.sprites, count, recipe["avoid"])
            captions = [scene.caption for scene in scenes.scenes]
            with tqdm(total=count, desc="pictures", leave=False) as bar:
                images = self.model(name, method, component).generate(
                    captions, range(count), self.sampling, self.profile.batch, lambda done: bar.update(done - bar.n)
                )
            real = self.classifier.features(torch.from_numpy(scenes.images).permute(0, 3, 1, 2).float() / 255)
            fid = frechet_distance(real, self.classifier.features(images), seed=self.profile.seed)
            clip = mean_clip_score(load_clip(self.profile.clip), images, captions, self.profile.seed)
            return {"fid": fid.model_dump(), "clip": clip.model_dump()}

        record = self.store.cell("quality", recipe, compute)
        return {metric: Estimate(**value) for metric, value in record["result"].items()}

    def estimate(self, name: str, method: str, component: str, attack: str, metric: str) -> tuple[Estimate, str]:
        """One number and the key of the recipe behind it. ``metric``: asr, pre_asr, fid or clip."""
        kind, recipe = self.cell(name, method, component, attack, metric)
        if kind == "quality":
            return self.quality(name, method, component)[metric], key_of(recipe)
        asr, pre = attack_success_rate(self.attack(name, method, component, attack).prompts)
        return asr if metric == "asr" else pre, key_of(recipe)
