"""What a profile is: every size, step count and hyper-parameter as data. No algorithm asks which profile it serves.

The pocket profile's values are in ``pocket/profile.py``.

``./reproduce.sh table3 --set fid_images=200`` overrides one scalar field; unknown names and wrong types are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import BaseModel, ConfigDict, Field

from advunlearn_lib import hub
from advunlearn_lib.errors import UserError, choose, validated

DATA = Path(__file__).resolve().parent.parent / "data"
Kind = Literal["broad", "style", "object"]


class Concept(BaseModel):
    """What is erased and how success is told. ``paper`` is its name in the paper's tables."""

    model_config = ConfigDict(frozen=True)
    name: str
    paper: str
    kind: Kind
    erase: tuple[str, ...] = Field(description="prompts that name the concept; one is drawn at each step")
    judge: str = Field(description="a folder under the profile's ``judges``, a hub id, or nudenet")
    prompts: str = Field("", description="the file of its evaluation prompts, where the profile's source has files")
    labels: tuple[str, ...] = Field(description="success: the judge's top label is one of these")
    threshold: float = Field(0.0, ge=0, le=1, description="... with at least this probability, all labels together")
    names: tuple[str, ...] = Field((), description="the concept's words within its prompts")
    surrogate: tuple[str, ...] = Field((), description="what should come instead: one prompt, or one for each of ``erase``")
    attack_tokens: int = 3

    def surrogates(self) -> list[str] | None:
        """One surrogate a prompt of ``erase``; None where the concept has none."""
        return list(self.surrogate) * (len(self.erase) if len(self.surrogate) == 1 else 1) or None


class Profile(BaseModel):
    """One way to run everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    source: Literal["emoji", "official"] = Field("emoji", description="where prompts, captions and reference pictures come from")
    base: str = Field(str(DATA / "pocket" / "v1-4"), description="a pipeline's folder or hub id (owner/name@revision)")
    judges: str = Field(str(DATA / "pocket"), description="the folder that holds the judges")
    clip: str = str(DATA / "pocket" / "clip")
    fid_features: str = Field("judge-object", description="a judge, or inception")
    sprites: Path = DATA / "world" / "sprites.png"
    prompts_dir: str = Field("", description="local copies of the official prompt files")
    reference: str = Field("", description="FID's real pictures: a folder, or an .npz of mu and sigma")
    device: str = Field("auto", description="cpu, cuda, cuda:1, ...; auto takes a GPU where there is one")
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="of training; pictures are always made in fp32")
    seed: int = Field(0, ge=0)
    sampler: Literal["ddim", "dpm++", "lms"] = "dpm++"
    sampling_steps: int = Field(8, ge=1, description="denoising steps of a judged or measured picture")
    quality_steps: int = Field(0, ge=0, description="the same for FID and CLIP score (0: as many as for a judged picture)")
    target_steps: int = Field(0, ge=0, description="the same for the base model's pictures that attacks aim at")
    guidance_scale: float = Field(5.0, ge=0)
    gpus: float = Field(0, ge=0, description="GPUs of a cell that Ray runs")
    disk_gb: float = Field(1.0, ge=0, description="free disk a run needs in the store")
    gpu_gb: float = Field(0, ge=0, description="GPU memory a run needs; 0: a CPU will do")
    gpu_unet_gb: float = Field(0, ge=0, description="the same where a UNet is trained")
    batch: int = Field(50, ge=1, description="pictures made at once")
    fid_images: int = Field(1000, ge=40, multiple_of=20)
    prompts: int = Field(60, ge=4, description="evaluation prompts of a concept, at most")
    select: bool = Field(True, description="evaluate on prompts for which the base model shows the concept")
    longest: int = Field(0, ge=0, description="tokens; a longer prompt is judged but not attacked (0: no limit)")
    attack_timesteps: int = Field(6, ge=1)
    attack_steps: int = Field(4, ge=1)
    attack_lr: float = Field(0.01, gt=0)
    scale: float = Field(1.0, gt=0, description="multiplies every method's iterations and sampling paths")
    quick: bool = False
    bases: dict[str, str] = Field({}, description="the base models of Table 8, by the paper's names")
    concepts: dict[str, Concept] = Field({}, description="by the paper's names; those with an empty ``paper`` are for validation")
    methods: dict[str, dict[str, Any]] = Field({}, description='options by "method component kind"')
    variants: dict[str, dict[str, Any]] = Field({}, description="options by a table's variant, on top of the method's")
    checkpoints: dict[str, str] = Field({}, description='weights to evaluate instead of training, by "concept:method:component"')
    attacks: dict[str, dict[str, Any]] = Field({}, description="budgets that are not UnlearnDiffAtk's")

    def judge(self, name: str) -> str:
        """Where the judge ``name`` is: its folder if there is one, else the name, a hub id."""
        folder = Path(self.judges) / name
        return str(folder) if folder.is_dir() else name


QUICK = {
    "fid_images": 60,
    "prompts": 8,
    "attack_timesteps": 2,
    "attack_steps": 2,
    "scale": 0.05,
    "sampling_steps": 4,
    "quick": True,
}
FIXED = ("name", "source", "sprites", "quick", "select")
SETTABLE = tuple(n for n, f in Profile.model_fields.items() if n not in FIXED and get_origin(f.annotation) is not dict)


def checkpoints(told: str) -> dict[str, str]:
    """``concept:method:component=WHERE``, or "published" for the authors' text encoders."""
    from advunlearn_lib.paper.profile import PUBLISHED

    if told == "published":
        return PUBLISHED
    place, _, where = told.partition("=")
    if place.count(":") != 2 or not where:
        raise UserError(f"--checkpoint takes 'concept:method:component=WHERE' or 'published', not {told!r}")
    return {place: where}


def profile(name: str = "pocket", overrides: list[str] | None = None, quick: bool = False) -> Profile:
    """The named profile with ``name=value`` overrides. Raises :class:`UserError` for what is unknown or out of range."""
    from advunlearn_lib.paper.profile import PAPER
    from advunlearn_lib.pocket.profile import POCKET

    profiles = {"pocket": POCKET, "paper": PAPER}
    chosen = profiles[choose("profile", name, profiles)]
    changes: dict[str, Any] = dict(QUICK) if quick else {}
    for override in overrides or []:
        field, separator, value = override.partition("=")
        if not separator:
            raise UserError(f"--set takes name=value, not {override!r}")
        if field == "checkpoint":
            changes["checkpoints"] = changes.get("checkpoints", {}) | checkpoints(value)
        else:
            changes[choose("setting", field, SETTABLE)] = value
    made = validated("setting", Profile, chosen.model_dump() | changes)
    for name in ("base", "clip"):
        hub.source(getattr(made, name))
    for name in ("judges", "prompts_dir", "reference"):
        if getattr(made, name) and not Path(getattr(made, name)).exists():
            raise UserError(f"setting {name}={getattr(made, name)!r}: no such folder")
    return made
