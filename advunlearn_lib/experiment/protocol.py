"""What each number of the paper is made of: the specification of every cell, under one profile.

prompts -> erased model -> attack -> ASR
                        -> pictures -> FID, CLIP score
"""

from __future__ import annotations

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.registry import code_of
from advunlearn_lib.data.source import source_of
from advunlearn_lib.erasure.method import Options
from advunlearn_lib.experiment import resolve
from advunlearn_lib.experiment.attack_spec import AttackSpec, JudgeSpec, PromptsSpec
from advunlearn_lib.experiment.cells import BASE, Cell, Row
from advunlearn_lib.experiment.erasure_spec import ErasureSpec, ModelSpec
from advunlearn_lib.experiment.picture_specs import PanelSpec, QualitySpec
from advunlearn_lib.profiles.schema import COMPONENTS, CheckpointKey, Concept, MethodKey, Profile, Variant


class Protocol:
    """The specifications of one profile and seed. A profile never changes, so each is made once."""

    def __init__(self, profile: Profile) -> None:
        self.profile, self.source = profile, source_of(profile)
        self.sampling = resolve.sampling_of(profile)  # of judged pictures
        self._models: dict[Row, ModelSpec] = {}
        self._prompts: dict[str, PromptsSpec] = {}
        self._cells: dict[Cell, ModelSpec | AttackSpec | QualitySpec] = {}

    # -- models ------------------------------------------------------------------------------------------

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

    def checkpoint(self, row: Row) -> str:
        """Where the row's weights are, if not trained here.

        A variant that changes nothing has the usual ones.
        """
        if self.variant(row).changes_something():
            return ""
        key = CheckpointKey(row.concept, row.method, row.trained_component())
        return self.profile.checkpoints.get(key, "")

    def trained(self, row: Row) -> Row | None:
        """The row whose erased model this row uses: itself, or for a transfer AdvUnlearn's text encoder.

        None for an original model.
        """
        if row.method != BASE and row.method not in self.profile.bases:
            return row
        return Row(row.concept, "AdvUnlearn", "Text Encoder") if row.variant == "Transfer" else None

    def model(self, row: Row) -> ModelSpec:
        """How the row's model is made. Raises :class:`UserError` for a row that the paper does not have."""
        if row not in self._models:
            self._models[row] = self._model(row)
        return self._models[row]

    def _model(self, row: Row) -> ModelSpec:
        self.concept(row.concept)
        base, trained = self.base(row), self.trained(row)
        if trained is None:
            return ModelSpec(base=base)
        if trained != row:
            donor = self.model(trained)
            return donor if base == self.profile.base else ModelSpec(base=base, donor=donor)
        if where := self.checkpoint(row):
            return ModelSpec(base=base, checkpoint=where)
        return ModelSpec(base=base, erasure=self.erasure(row))

    def options(self, row: Row) -> tuple[str, Options]:
        """The row's method and all its options.

        Raises :class:`UserError` for a pair of method and concept that the paper does not have.
        """
        profile, concept, component = self.profile, self.concept(row.concept), row.trained_component()
        choose("method", row.method, [BASE, *sorted({key.method for key in profile.methods}), *profile.bases])
        settings = profile.methods.get(MethodKey(row.method, component, concept.kind))
        if settings is None:
            pair = f"{row.method} ({component}) on a concept of the kind {concept.kind!r} ({row.concept})"
            raise UserError(f"the paper does not define {pair}")
        usual, changes = {"component": COMPONENTS[component]} | settings.options, self.variant(row).options
        return settings.method, resolve.method_options(profile, settings.method, concept, usual, changes)

    def erasure(self, row: Row) -> ErasureSpec:
        """How the row's concept is erased."""
        (method, options), concept = self.options(row), self.concept(row.concept)
        retain_set = self.source.retain_set(concept.labels, self.variant(row).retain)
        return resolve.erasure_spec(self.profile, method, options, concept, retain_set)

    # -- prompts, attacks, pictures ----------------------------------------------------------------------

    def judge(self, name: str) -> JudgeSpec:
        """What tells success on a concept."""
        profile, concept = self.profile, self.concept(name)
        return JudgeSpec(
            judge=profile.judge(concept.judge),
            labels=concept.labels,
            threshold=concept.threshold,
            sha256=profile.detector_sha256,
            remedy=profile.judge_remedy(concept),
        )

    def prompts(self, name: str) -> PromptsSpec:
        """Which prompts a concept is evaluated on."""
        if name not in self._prompts:
            profile, concept = self.profile, self.concept(name)
            self._prompts[name] = resolve.judged_prompts(
                profile,
                judge=self.judge(name),
                base=profile.base,
                count=profile.prompt_count(concept),
                select=profile.select,
                kind=concept.kind,
                file=concept.prompts,
                source=self.source.evaluation_recipe(concept.prompts),
                seed=profile.seed,
            )
        return self._prompts[name]

    def attack(self, row: Row, attack: str) -> AttackSpec:
        """One attack on one model."""
        profile, concept = self.profile, self.concept(row.concept)
        budget = resolve.attack_budget(profile, attack, concept, {})
        cls = ATTACKS[attack]
        return AttackSpec(
            attack=attack,
            budget=budget,
            prompts=self.prompts(row.concept),
            clip=profile.attack_clip if cls.NEEDS_CLIP else "",
            seed=profile.seed,
            code=code_of(cls),
            model=self.model(row),
        )

    def quality(self, row: Row) -> QualitySpec:
        """FID and CLIP score of one model."""
        profile = self.profile
        return QualitySpec(
            sampling=resolve.quality_sampling(profile),
            images=profile.fid_images,
            avoid=self.concept(row.concept).labels,
            features=profile.judge(profile.fid_features),
            clip=profile.clip,
            source=self.source.captions_recipe(),
            seed=profile.seed,
            model=self.model(row),
        )

    def panel(self, row: Row, texts: list[str], seeds: list[int]) -> PanelSpec:
        """Pictures of one model."""
        return PanelSpec(
            model=self.model(row), sampling=self.sampling, texts=tuple(texts), seeds=tuple(seeds)
        )

    def cell(self, cell: Cell) -> ModelSpec | AttackSpec | QualitySpec:
        """What has to be computed for a number: an attack, pictures, or for the seconds the model alone."""
        if cell not in self._cells:
            if cell.metric == "seconds_per_iteration":
                self._cells[cell] = self.model(cell.row)
            elif cell.metric in ("asr", "pre_asr"):
                self._cells[cell] = self.attack(cell.row, cell.attack)
            else:
                self._cells[cell] = self.quality(cell.row)
        return self._cells[cell]
