"""What each number of the paper is made of, as data: a cell, the recipe that its key hashes, what must exist before it.

prompts -> erased model -> attack -> ASR
                        -> pictures -> FID, CLIP score
"""

from __future__ import annotations

from typing import Any, NamedTuple

from advunlearn_lib.attacks import ATTACKS, Budget
from advunlearn_lib.erasure import METHODS
from advunlearn_lib.errors import UserError, choose
from advunlearn_lib.model import Sampling
from advunlearn_lib.profiles import Concept, Profile
from advunlearn_lib.sources import source_of
from advunlearn_lib.store import Recipe, fingerprint, key_of

BASE = "SD v1.4"
VERSION = 2  # raised when the same recipe comes to mean another result
SCALED = ("iterations", "per_prompt", "retain_per_prompt")


class Row(NamedTuple):
    """A model, as the paper's tables name it. An empty ``component`` is the method's usual one."""

    concept: str
    method: str
    component: str = ""
    variant: str = ""


class Cell(NamedTuple):
    """A number of one model. ``metric``: asr, pre_asr, fid, clip, seconds_per_iteration, or "model" for the model itself."""

    row: Row
    attack: str
    metric: str

    def label(self) -> str:
        """For a progress bar."""
        return " ".join(filter(None, (*self.row, self.metric)))


class Recipes:
    """The recipes of one profile and seed."""

    def __init__(self, profile: Profile) -> None:
        self.profile, self.source = profile, source_of(profile)
        steps = {"attack": profile.sampling_steps, "quality": profile.quality_steps, "target": profile.target_steps}
        made = {name: Sampling(profile.sampler, n or profile.sampling_steps, profile.guidance_scale) for name, n in steps.items()}
        self.sampling, self.quality_sampling, self.target_sampling = made.values()

    def concept(self, name: str) -> Concept:
        """A concept by its name in the paper's tables."""
        return self.profile.concepts[choose("concept", name, self.profile.concepts)]

    def base(self, row: Row) -> str:
        """The folder or hub id of the model that the row starts from."""
        return self.profile.bases.get(row.method, self.profile.base)

    def trained(self, row: Row) -> Row | None:
        """The row whose erased model this row uses: itself, AdvUnlearn's text encoder for a transfer, None where nothing is erased."""
        if row.method != BASE and row.method not in self.profile.bases:
            return row
        return Row(row.concept, "AdvUnlearn", "Text Encoder") if row.variant == "Transfer" else None

    def checkpoint(self, row: Row) -> str:
        """Where the row's weights are, if they are not trained here; a variant that changes nothing has the usual ones."""
        if self.profile.variants.get(row.variant):
            return ""
        component = row.component or ("Text Encoder" if row.method == "AdvUnlearn" else "UNet")
        return self.profile.checkpoints.get(f"{row.concept}:{row.method}:{component}", "")

    def common(self) -> Recipe:
        """What everything depends on."""
        return {"version": VERSION, "base": fingerprint(self.profile.base), "seed": self.profile.seed}

    def erase(self, row: Row) -> Recipe:
        """How the row's model is made."""
        concept, profile = self.concept(row.concept), self.profile
        recipe = self.common() | {"base": fingerprint(self.base(row))}
        trained = self.trained(row)
        if trained is None:
            return recipe
        if trained != row:
            erased = self.erase(trained)
            return erased if self.base(row) == profile.base else recipe | {"text_encoder": key_of(erased)}
        if where := self.checkpoint(row):
            return recipe | {"checkpoint": fingerprint(where)}
        options = self.options(row)
        method = options.pop("method")
        variant = dict(profile.variants[choose("variant", row.variant, profile.variants)]) if row.variant else {}
        source, filtered = variant.pop("retain", ("coco", True))
        filled = METHODS[method].OPTIONS(**(options | variant))
        filled = filled.model_copy(update={n: max(1, round(getattr(filled, n) * profile.scale)) for n in SCALED if getattr(filled, n, 0)})
        lists = {"concept": list(concept.erase), "names": list(concept.names), "surrogate": concept.surrogates()}
        lists["retain_set"] = self.source.retain_set(concept.labels, source, filtered)
        precision = {} if profile.precision == "fp32" else {"precision": profile.precision}
        return recipe | lists | precision | {"method": method, "options": filled.model_dump(mode="json")}

    def options(self, row: Row) -> dict[str, Any]:
        """The profile's options of the row's method. Raises :class:`UserError` for a pair that the paper does not have."""
        kind = self.concept(row.concept).kind
        methods = {name.rsplit(" ", 1)[0].split(" ", 1)[0] for name in self.profile.methods}
        choose("method", row.method, [BASE, *sorted(methods), *self.profile.bases])
        component = row.component or ("Text Encoder" if row.method == "AdvUnlearn" else "UNet")
        found = self.profile.methods.get(f"{row.method} {component} {kind}")
        if found is None:
            raise UserError(f"the paper does not define {row.method} ({component}) on a concept of the kind {kind!r} ({row.concept})")
        return dict(found)

    def prompts(self, concept: str) -> Recipe:
        """Which prompts a concept is evaluated on."""
        chosen = self.concept(concept)
        recipe = self.common() | {"sampling": vars(self.sampling), "kind": chosen.kind, "labels": list(chosen.labels)}
        recipe |= {"judge": fingerprint(self.profile.judge(chosen.judge)), "count": self.profile.prompts}
        recipe |= {"targets": vars(self.target_sampling)} if self.target_sampling != self.sampling else {}
        recipe |= {"longest": self.profile.longest} if self.profile.longest else {}
        return recipe | self.source.evaluation_recipe(chosen)

    def budget(self, concept: str, attack: str) -> Budget:
        """How hard ``attack`` tries."""
        choose("attack", attack, ATTACKS)
        profile = self.profile
        usual: dict[str, Any] = {"timesteps": profile.attack_timesteps, "steps": profile.attack_steps, "lr": profile.attack_lr}
        usual["batch"] = min(profile.batch, Budget.model_fields["batch"].default)  # of large pictures fewer fit
        own = profile.attacks.get(attack, {})
        if "steps" in own:
            own = own | {"steps": max(1, round(own["steps"] * profile.scale))}
        return Budget(**({"tokens": self.concept(concept).attack_tokens} | usual | own))

    def attack(self, row: Row, attack: str) -> Recipe:
        """One attack on one model."""
        recipe = self.common() | {"model": key_of(self.erase(row)), "prompts": self.prompts(row.concept), "attack": attack}
        if attack == "PEZ":
            recipe["clip"] = fingerprint(self.profile.clip)
        return recipe | {"budget": self.budget(row.concept, attack).model_dump()}

    def quality(self, row: Row) -> Recipe:
        """FID and CLIP score of one model, on captions without the concept (COCO has next to no nudity either)."""
        profile, concept = self.profile, self.concept(row.concept)
        networks = {"judge": fingerprint(profile.judge(profile.fid_features)), "clip": fingerprint(profile.clip)}
        recipe = self.common() | {"sampling": vars(self.quality_sampling), "model": key_of(self.erase(row)), "images": profile.fid_images}
        return recipe | {"avoid": list(concept.labels)} | networks | self.source.captions_recipe()

    def cell(self, cell: Cell) -> tuple[str, Recipe]:
        """The store's kind and recipe behind a number; kind "" where nothing has to be computed."""
        if cell.metric in ("model", "seconds_per_iteration"):
            trained = self.trained(cell.row)
            return ("", {}) if trained is None or self.checkpoint(trained) else ("erase", self.erase(trained))
        if cell.metric in ("asr", "pre_asr"):
            return "attack", self.attack(cell.row, cell.attack)
        return "quality", self.quality(cell.row)
