"""What a profile is: every size, step count and hyper-parameter as data.

No algorithm asks which profile it serves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from advunlearn_lib.base.paths import DATA
from advunlearn_lib.base.settings import Precision, Settings, marks
from advunlearn_lib.metrics.nudenet_classes import OFFICIAL, PACKAGED

Kind = Literal["broad", "style", "object"]
COMPONENTS = {"UNet": "unet", "Text Encoder": "text_encoder"}  # the paper's names, and diffusers'


def component_name(part: str) -> str:
    """What the paper calls diffusers' ``part``."""
    return next(name for name, own in COMPONENTS.items() if own == part)


class MethodKey(NamedTuple):
    """A method by its name in the tables, what it trains ("UNet", "Text Encoder"), the kind of concept."""

    method: str
    component: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.method} ({self.component}), {self.kind}"


class AttackKey(NamedTuple):
    """An attack, and the kind of concept where that matters."""

    attack: str
    kind: Kind | Literal[""] = ""


class CheckpointKey(NamedTuple):
    """A row of the paper's tables whose weights come from elsewhere."""

    concept: str
    method: str
    component: str


class MethodSettings(BaseModel):
    """An erasure method by its name in the registry, and the options that differ from its defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str
    options: dict[str, Any] = Field({})

    def changed(self, **options: Any) -> MethodSettings:
        """The same method with some options changed."""
        return self.model_copy(update={"options": self.options | options})


class RetainList(NamedTuple):
    """Where retain prompts come from ("coco", "imagenet"); are those about the concept left out?"""

    source: str = "coco"
    filtered: bool = True


class Variant(BaseModel):
    """What a row of an ablation changes: options on top of the method's, the retain list.

    ``label``: on an axis.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    label: str = ""
    options: dict[str, Any] = Field({})
    retain: RetainList = RetainList()

    def changes_something(self) -> bool:
        """Is it another model than the method's usual one?"""
        return bool(self.options) or self.retain != RetainList()


class Concept(BaseModel):
    """What is erased and how success is told.

    ``paper`` is its name in the paper's tables, empty for validation.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    paper: str
    kind: Kind
    erase: tuple[str, ...] = Field(description="prompts that name the concept; one is drawn at each step")
    judge: str = Field(
        "",
        description="a folder under the profile's ``judges``, a hub id, or nudenet (see ``nudity_detector``)",
    )
    judge_from: str = Field("", description="where the judge is to be had, if no hub has it")
    prompts: str = Field(
        "", description="the file of its evaluation prompts, where the profile's source has files"
    )
    prompt_count: int = Field(0, ge=0, description="evaluation prompts (0: the profile's number)")
    labels: tuple[str, ...] = Field((), description="success: the judge's top label is one of these")
    threshold: float = Field(
        0.0, ge=0, le=1, description="... with at least this probability, all labels together"
    )
    names: tuple[str, ...] = Field((), description="the concept's words within its prompts")
    forget_prompts: tuple[str, ...] = Field(
        (), description="whose pictures are forgotten (default: ``erase``)"
    )
    remain_prompts: tuple[str, ...] = Field((), description="whose pictures remain")
    surrogate: str = Field("", description="the prompt whose picture should come instead, to relabel by")
    options: dict[str, dict[str, Any]] = Field(
        {}, description="what goes with this concept alone, by the names of methods and attacks"
    )
    attack_tokens: int = Field(3, ge=1, description="adversarial tokens of an attack on it")

    def forget(self) -> list[str]:
        """Whose pictures are forgotten."""
        return list(self.forget_prompts or self.erase)

    def surrogates(self) -> list[str]:
        """One surrogate a forget prompt; none where the concept has none."""
        return [self.surrogate] * len(self.forget()) if self.surrogate else []

    def here(self) -> str:
        """The concept's name where it stands in for the paper's ("weapon" for nudity), else empty."""
        return "" if self.name.lower() == self.paper.lower() else self.name


class Profile(Settings):
    """One way to run everything."""

    name: str
    source: Literal["emoji", "official"] = Field(
        "emoji", description="where prompts, captions and pictures come from"
    )
    base: str = Field(description="a pipeline's folder or hub id (owner/name@revision)")
    judges: str = Field(description="the folder that holds the judges")
    clip: str = Field(description="the CLIP of the CLIP score: a folder or hub id")
    attack_clip: str = Field(description="the CLIP of PEZ and PH2P: that of the model under attack")
    nudity_detector: Literal["official", "nudenet"] = Field(
        "official", description="the benchmark's best.onnx of 2023, or the network that nudenet >= 3.4 ships"
    )
    detector: str = Field("", description="a local copy of best.onnx (default: fetched once)")
    detector_sha256: str = Field("", pattern="^([0-9a-f]{64})?$", description="the checksum it must have")
    fid_features: str = Field(description="the network whose features FID uses: a judge, or inception")
    sprites: Path = DATA / "world" / "sprites.png"
    prompts_dir: str = Field("", description="local copies of the official prompt files")
    reference: str = Field("", description="FID's real pictures: a folder, or an .npz of mu and sigma")
    device: str = Field(
        "auto",
        pattern=r"^(auto|(cpu|cuda|mps|xpu)(:\d+)?)$",
        description="cpu, cuda, cuda:1, ...; auto takes a GPU where there is one",
    )
    precision: Precision = Field("fp32", description="of training")
    picture_precision: Precision = Field("fp32", description="of pictures and attacks; official: fp32")
    compiled: bool = Field(
        False, description="the UNet is compiled by torch, for pictures and attacks: for a GPU"
    )
    seed: int = Field(0, ge=0)
    faithful: Literal["paper", "official"] = Field(
        "paper", description="to the paper's text, or to the official codes with all their quirks"
    )
    tier: Literal["full", "preview"] = Field(
        "full",
        description="preview: fewer pictures, prompts and steps, a quarter of each attack; for a first look",
    )
    sampler: Literal["ddim", "dpm++", "lms"] = Field(description="of pictures")
    sampling_steps: int = Field(ge=1, description="denoising steps of a judged or measured picture")
    quality_steps: int = Field(
        0, ge=0, description="the same for FID and CLIP score (0: as many as a judged picture's)"
    )
    target_steps: int = Field(
        0, ge=0, description="the same for the base model's pictures that attacks aim at"
    )
    guidance_scale: float = Field(ge=0)
    unconditional: Literal["own", "original"] = Field(
        "own",
        description="whose text encoder encodes guidance's empty prompt: the erased model's, or the base's",
    )
    gpus: float = Field(0, ge=0, description="GPUs of a cell that Ray runs")
    show_sensitive: bool = Field(
        False,
        description="show pictures of nudity as they are, not blurred",
        json_schema_extra=marks(source="*ours*"),
    )
    disk_gb: float = Field(1.0, ge=0, description="free disk a run needs in the store")
    gpu_gb: float = Field(0, ge=0, description="GPU memory a run needs; 0: a CPU will do")
    gpu_unet_gb: float = Field(0, ge=0, description="the same where a UNet is trained")
    batch: int = Field(ge=1, description="pictures made at once")
    fid_images: int = Field(ge=40, description="pictures behind FID and CLIP score")
    prompts: int = Field(ge=4, description="evaluation prompts of a concept, at most")
    select: bool = Field(True, description="evaluate on prompts for which the base model shows the concept")
    max_prompt_tokens: int = Field(
        0, ge=0, description="a longer prompt is judged but not attacked (0: no limit)"
    )
    attack_timesteps: int = Field(ge=1, description="rounds of an attack, each ended by a judged picture")
    attack_steps: int = Field(ge=1, description="gradient steps a round")
    attack_lr: float = Field(0.01, gt=0)
    scale: float = Field(
        1.0, gt=0, description="multiplies every method's iterations, sampling paths and pictures"
    )
    quick: bool = False
    bases: dict[str, str] = Field({}, description="the base models of Table 8, by the paper's names")
    concepts: dict[str, Concept] = Field(
        {}, description="by the paper's names; those of validation by their own"
    )
    methods: dict[MethodKey, MethodSettings] = Field({})
    variants: dict[str, Variant] = Field({}, description="by a table's variant")
    checkpoints: dict[CheckpointKey, str] = Field({}, description="weights to evaluate instead of training")
    attacks: dict[AttackKey, dict[str, Any]] = Field({}, description="budgets that are not UnlearnDiffAtk's")
    added: tuple[str, ...] = Field((), description="files of methods and attacks beside the paper's")

    def judge(self, name: str) -> str:
        """Where the judge ``name`` is: its folder (without a revision) if there is one, else a hub id."""
        if name == OFFICIAL:
            return PACKAGED if self.nudity_detector == "nudenet" else self.detector or OFFICIAL
        folder = Path(self.judges) / name.partition("@")[0]
        return str(folder) if folder.is_dir() else name

    def judge_remedy(self, concept: Concept) -> str:
        """Where a concept's judge is to be had, if it neither is here nor on a hub; else nothing."""
        where = self.judge(concept.judge)
        if not concept.judge_from or Path(where).exists():
            return ""
        remedy = f"get {concept.judge_from}, put it into FOLDER/{where} and --set judges=FOLDER"
        return f"the judge of {concept.name!r} is not here: {remedy}"

    def prompt_count(self, concept: Concept) -> int:
        """How many prompts the concept is evaluated on, at most."""
        return min(self.prompts, concept.prompt_count or self.prompts)

    def is_local(self) -> bool:
        """Is every model a folder here, so that no network is needed?"""
        judges = (self.judge(concept.judge) for concept in self.concepts.values())
        names = (self.base, self.clip, self.attack_clip, *self.bases.values(), *judges)
        return all(name == PACKAGED or Path(name).exists() for name in names)
