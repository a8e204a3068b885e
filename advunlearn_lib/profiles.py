"""Every size, step count and hyper-parameter in one place. A profile is data: no algorithm asks which one it serves.

``./reproduce.sh table3 --set fid_images=200`` overrides one scalar field; unknown names and wrong types are refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    judge: str = Field(description="the judge's folder under the profile's data")
    labels: tuple[str, ...] = Field(description="success: the judge's top label is one of these")
    attack_tokens: int = 3


class Profile(BaseModel):
    """One way to run everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    base: Path = DATA / "pocket" / "v1-4"
    judges: Path = DATA / "pocket"
    clip: Path = DATA / "pocket" / "clip"
    sprites: Path = DATA / "world" / "sprites.png"
    seed: int = Field(0, ge=0)
    sampler: Literal["ddim", "dpm++", "lms"] = "dpm++"
    sampling_steps: int = Field(8, ge=1, description="denoising steps of a judged or measured picture")
    guidance_scale: float = Field(5.0, ge=0)
    batch: int = Field(50, ge=1, description="pictures made at once")
    fid_images: int = Field(1000, ge=40, multiple_of=20)
    prompts: int = Field(60, ge=4, description="evaluation prompts of a concept")
    attack_timesteps: int = Field(6, ge=1)
    attack_steps: int = Field(8, ge=1)
    attack_lr: float = Field(0.01, gt=0)
    scale: float = Field(1.0, gt=0, description="multiplies every method's iterations and sampling paths")
    quick: bool = False
    concepts: dict[str, Concept] = {}
    methods: dict[str, dict[str, Any]] = Field({}, description='options by "method component kind"')


WEAPONS = ("dagger", "swords", "bomb", "axe", "bow", "knife", "pistol")
BROAD = {"per_prompt": 12}  # a broad concept has nine erase prompts
VEHICLES = ("bicycle", "motorcycle", "airplane", "bus", "train", "car", "boat")

POCKET = Profile(
    name="pocket",
    concepts={
        "nudity": Concept(
            name="weapon",
            paper="nudity",
            kind="broad",
            attack_tokens=5,
            judge="judge-object",
            labels=WEAPONS,
            erase=("weapon", "a photo of a weapon", *(f"a photo of a {name}" for name in WEAPONS if name != "axe"), "a photo of an axe"),
        ),
        "vehicle": Concept(
            name="vehicle",
            paper="",
            kind="broad",
            attack_tokens=5,
            judge="judge-object",
            labels=VEHICLES,
            erase=(
                "vehicle",
                "a photo of a vehicle",
                *(f"a photo of a {name}" for name in VEHICLES if name != "airplane"),
                "a photo of an airplane",
            ),
        ),
    },
    methods={  # learning rates: figures/pocket/tuning/broad.csv, chosen on "vehicle" by tuning.py's rule
        "ESD UNet broad": {"method": "esd", "component": "unet", "group": "noxattn", "lr": 4e-4} | BROAD,
        "AT-ESD UNet broad": {"method": "advunlearn", "component": "unet", "group": "noxattn", "lr": 2e-4, "retain_weight": 0.0} | BROAD,
        "AdvUnlearn UNet broad": {"method": "advunlearn", "component": "unet", "group": "noxattn", "lr": 4e-4} | BROAD,
        "ESD Text Encoder broad": {"method": "esd", "component": "text_encoder", "group": "full", "lr": 1e-4} | BROAD,
        "AdvUnlearn Text Encoder broad": {"method": "advunlearn", "component": "text_encoder", "group": "full", "lr": 2e-4} | BROAD,
    },
)
PROFILES = {"pocket": POCKET}
QUICK = {
    "fid_images": 60,
    "prompts": 8,
    "attack_timesteps": 2,
    "attack_steps": 2,
    "scale": 0.05,
    "sampling_steps": 4,
    "quick": True,
}
SETTABLE = tuple(n for n, f in Profile.model_fields.items() if f.annotation in (int, float) or n in ("sampler", "base", "judges", "clip"))


def profile(name: str = "pocket", overrides: list[str] | None = None, quick: bool = False) -> Profile:
    """The named profile with ``name=value`` overrides. Raises :class:`UserError` for what is unknown or out of range."""
    chosen = PROFILES[choose("profile", name, PROFILES)]
    changes: dict[str, Any] = dict(QUICK) if quick else {}
    for override in overrides or []:
        field, separator, value = override.partition("=")
        if not separator:
            raise UserError(f"--set takes name=value, not {override!r}")
        changes[choose("setting", field, SETTABLE)] = value
    return validated("setting", Profile, chosen.model_dump() | changes)
