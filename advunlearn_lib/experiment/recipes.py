"""What each number of the paper is made of, as data: the
recipe that a cell's key hashes, and what must exist before it.

prompts -> erased model -> attack -> ASR
                        -> pictures -> FID, CLIP score
"""

from __future__ import annotations

from typing import Any

from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.keys import Recipe, fingerprint, key_of
from advunlearn_lib.base.registry import code_of
from advunlearn_lib.data.source import source_of
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.cells import BASE, MODEL, Cell, Row
from advunlearn_lib.metrics import nudenet_official
from advunlearn_lib.metrics.nudenet_classes import is_official
from advunlearn_lib.profiles.schema import COMPONENTS, CheckpointKey, Concept, MethodKey, Profile, Variant

VERSIONS = {"erase": 4, "prompts": 4, "attack": 4, "quality": 4, "panel": 4}
"""Of each kind of cell; raised when the same recipe comes to mean another result."""


def judge_key(profile: Profile, judge: str) -> str:
    """What tells a judge from others: its key; for NudeNet's best.onnx the SHA-256 asked for, or found.

    Raises :class:`UserError` where neither is known, as the file cannot be had.
    """
    where, pinned = profile.judge(judge), profile.detector_sha256
    if not is_official(where):
        return fingerprint(where)
    return f"best.onnx {pinned or nudenet_official.sha256_of(nudenet_official.locate(where))}"


class Recipes:
    """The recipes of one profile and seed."""

    def __init__(self, profile: Profile) -> None:
        self.profile, self.source = profile, source_of(profile)
        self.sampling = self.sampling_of(0)  # of judged pictures
        self.quality_sampling = self.sampling_of(profile.quality_steps)
        self.target_sampling = self.sampling_of(profile.target_steps)

    def sampling_of(self, steps: int) -> Sampling:
        """The profile's sampling, with ``steps`` where that is not 0."""
        profile = self.profile
        count = steps or profile.sampling_steps
        return Sampling(profile.sampler, count, profile.guidance_scale, profile.unconditional)

    def concept(self, name: str) -> Concept:
        """A concept by its name in the paper's tables."""
        return self.profile.concepts[choose("concept", name, self.profile.concepts)]

    def base(self, row: Row) -> str:
        """The folder or hub id of the model that the row starts from."""
        bases, own = self.profile.bases, self.profile.base
        return own if row.method == BASE else bases.get(row.method, own)

    def variant(self, row: Row) -> Variant:
        """What the row's variant changes."""
        variants = self.profile.variants
        return variants[choose("variant", row.variant, variants)] if row.variant else Variant()

    def trained(self, row: Row) -> Row | None:
        """The row whose erased model this row uses: itself, for a
        transfer AdvUnlearn's text encoder, or None for an original model.
        """
        if row.method != BASE and row.method not in self.profile.bases:
            return row
        return Row(row.concept, "AdvUnlearn", "Text Encoder") if row.variant == "Transfer" else None

    def checkpoint(self, row: Row) -> str:
        """Where the row's weights are, if not trained here;
        a variant that changes nothing has the usual ones.
        """
        if self.variant(row).changes_something():
            return ""
        key = CheckpointKey(row.concept, row.method, row.trained_component())
        return self.profile.checkpoints.get(key, "")

    def common(self, kind: str) -> Recipe:
        """What everything depends on."""
        return {
            "version": VERSIONS[kind],
            "base": fingerprint(self.profile.base),
            "seed": self.profile.seed,
        }

    def erase(self, row: Row) -> Recipe:
        """How the row's model is made. Raises :class:`UserError` for a row that the paper does not have."""
        self.concept(row.concept)
        original = self.common("erase") | {"base": fingerprint(self.base(row))}
        trained = self.trained(row)
        if trained is None:
            return original
        if trained != row:  # a transfer: AdvUnlearn's text encoder in another base model
            erased = self.erase(trained)
            same_base = self.base(row) == self.profile.base
            return erased if same_base else original | {"text_encoder": key_of(erased)}
        if where := self.checkpoint(row):
            return original | {"checkpoint": fingerprint(where)}
        return original | self.training(row)

    def training(self, row: Row) -> Recipe:
        """The method, its options, and what it is given, by the names of a ``Task``'s fields."""
        concept, profile = self.concept(row.concept), self.profile
        method, options = self.options(row)
        return {
            "method": method,
            "options": options,
            "precision": profile.precision,
            "concept": list(concept.erase),
            "names": list(concept.names),
            "forget_prompts": concept.forget(),
            "remain_prompts": list(concept.remain_prompts),
            "surrogate": concept.surrogates(),
            "pseudo": concept.pseudo,
            "anchors": list(concept.anchors),
            "also": list(concept.also),
            "preserve": list(concept.preserve),
            "retain_set": self.source.retain_set(concept.labels, self.variant(row).retain),
        } | code_of(METHODS[method])

    def options(self, row: Row) -> tuple[str, dict[str, Any]]:
        """The method's name in the registry and all its
        options: defaults, the profile's, the variant's, scaled;
        with ``faithful="official"`` the official code's quirks.

        Raises :class:`UserError` for a pair of method and concept that the paper does not have.
        """
        profile, kind = self.profile, self.concept(row.concept).kind
        choose("method", row.method, [BASE, *sorted({key.method for key in profile.methods}), *profile.bases])
        component = row.trained_component()
        settings = profile.methods.get(MethodKey(row.method, component, kind))
        if settings is None:
            pair = f"{row.method} ({component}) on a concept of the kind {kind!r} ({row.concept})"
            raise UserError(f"the paper does not define {pair}")
        chosen = {"component": COMPONENTS[component]} | settings.options | self.variant(row).options
        filled = METHODS[settings.method].OPTIONS(**chosen)
        if profile.faithful == "official":
            filled = filled.model_copy(update={"quirks": filled.quirks | filled.official_quirks()})
        return settings.method, filled.scaled(profile.scale).model_dump(mode="json")

    def prompts(self, concept: str) -> Recipe:
        """Which prompts a concept is evaluated on."""
        chosen, profile = self.concept(concept), self.profile
        recipe = self.common("prompts") | {
            "sampling": vars(self.sampling),
            "targets": vars(self.target_sampling),
            "kind": chosen.kind,
            "labels": list(chosen.labels),
            "threshold": chosen.threshold,
            "judge": judge_key(profile, chosen.judge),
            "count": profile.prompt_count(chosen),
            "select": profile.select,
            "max_prompt_tokens": profile.max_prompt_tokens,
        }
        return recipe | self.source.evaluation_recipe(chosen)

    def budget(self, concept: str, attack: str) -> Budget:
        """How hard ``attack`` tries."""
        choose("attack", attack, ATTACKS)
        profile, chosen, changes = self.profile, self.concept(concept), self.profile.attacks.get(attack, {})
        if "steps" in changes:
            changes = changes | {"steps": max(1, round(changes["steps"] * profile.scale))}
        usual: dict[str, Any] = {
            "tokens": chosen.attack_tokens,
            "timesteps": profile.attack_timesteps,
            "steps": profile.attack_steps,
            "lr": profile.attack_lr,
        }
        if ATTACKS[attack].LEARNS_A_WORD:
            usual |= {"word": chosen.word or chosen.name, "initializer": chosen.initializer}
            usual |= {"templates": chosen.templates} if chosen.templates else {}
        budget = Budget(**(usual | changes))
        if profile.faithful == "official":
            budget = budget.model_copy(update={"quirks": budget.quirks | frozenset(ATTACKS[attack].QUIRKS)})
        return budget

    def attack(self, row: Row, attack: str) -> Recipe:
        """One attack on one model."""
        recipe = self.common("attack") | {
            "model": key_of(self.erase(row)),
            "prompts": self.prompts(row.concept),
            "attack": attack,
            "budget": self.budget(row.concept, attack).model_dump(mode="json"),
        }
        kind = ATTACKS[attack]
        clip = {"clip": fingerprint(self.profile.attack_clip)} if kind.NEEDS_CLIP else {}
        return recipe | clip | code_of(kind)

    def quality(self, row: Row) -> Recipe:
        """FID and CLIP score of one model, on captions without
        the concept (COCO has next to no nudity either).
        """
        profile = self.profile
        recipe = self.common("quality") | {
            "sampling": vars(self.quality_sampling),
            "model": key_of(self.erase(row)),
            "images": profile.fid_images,
            "avoid": list(self.concept(row.concept).labels),
            "features": fingerprint(profile.judge(profile.fid_features)),
            "clip": fingerprint(profile.clip),
        }
        return recipe | self.source.captions_recipe()

    def panel(self, row: Row, texts: list[str], seeds: list[int]) -> Recipe:
        """Pictures of one model."""
        recipe = self.common("panel") | {"model": key_of(self.erase(row)), "sampling": vars(self.sampling)}
        return recipe | {"texts": texts, "seeds": seeds}

    def cell(self, cell: Cell) -> tuple[str, Recipe]:
        """The store's kind and recipe behind a number; kind "" where nothing has to be computed."""
        if cell.metric in (MODEL, "seconds_per_iteration"):
            trained = self.trained(cell.row)
            return ("", {}) if trained is None or self.checkpoint(trained) else ("erase", self.erase(trained))
        if cell.metric in ("asr", "pre_asr"):
            return "attack", self.attack(cell.row, cell.attack)
        return "quality", self.quality(cell.row)
