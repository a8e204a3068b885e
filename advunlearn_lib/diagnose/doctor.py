"""What this machine has and lacks for a profile, and how to get it."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.data.official import SHA256, locate
from advunlearn_lib.diffusion import hub
from advunlearn_lib.diffusion.device import device_named, multiplies_bf16
from advunlearn_lib.experiment.cells import BASE
from advunlearn_lib.metrics import nudenet_official
from advunlearn_lib.metrics.nudenet_classes import is_official
from advunlearn_lib.profiles.schema import Concept, Profile

EXTRAS = {"nudity": "nudenet", "fid": "torch_fidelity", "ray": "ray"}  # extra -> the module it installs


class Finding(NamedTuple):
    """One thing that was looked at; ``remedy``: what is there, or how to get it.

    Not all that may be missing is needed.
    """

    what: str
    present: bool
    remedy: str
    needed: bool = True

    def __str__(self) -> str:
        state = "ok" if self.present else "MISSING" if self.needed else "absent"
        return f"  {state:7} {self.what}: {self.remedy}"


def print_findings(profile: Profile, store: Path) -> bool:
    """Print what was found; is everything that is needed there?"""
    found = findings(profile, store)
    for finding in found:
        print(finding)
    missing = sum(finding.needed and not finding.present for finding in found)
    if missing:
        print(f"\n{missing} of {len(found)} things are missing for the profile {profile.name}")
    else:
        print("\neverything that is needed is here")
    return not missing


def findings(profile: Profile, store: Path) -> list[Finding]:
    """Everything a run of ``profile`` needs, present or not."""
    versions = f"{platform.python_version()}, torch {torch.__version__}, diffusers {version('diffusers')}"
    found = [Finding("python", True, versions), disk(profile, store), *gpus(profile)]
    if "bf16" in (profile.precision, profile.picture_precision):
        found.append(bf16(profile))
    judges = {concept.judge: concept for concept in profile.concepts.values()}
    found += [judge(profile, concept) for concept in judges.values()]
    bases = {where: f"--set bases={name}=FOLDER" for name, where in profile.bases.items() if name != BASE}
    bases |= {profile.base: "--base FOLDER"}
    found += [model(where, "model_index.json", way_out) for where, way_out in bases.items()]
    clips = {profile.attack_clip: "attack_clip", profile.clip: "clip"}  # one where they are the same
    found += [model(name, "config.json", f"--set {setting}=FOLDER") for name, setting in clips.items()]
    if profile.fid_features == "inception":
        found.append(extra("fid"))
    if profile.source == "official":
        found += [prompt_files(profile), reference(profile)]
    return [*found, extra("ray", needed=False)]


def disk(profile: Profile, store: Path) -> Finding:
    """Room for the store."""
    place = next(path for path in (store, *store.parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    needed = f"about {profile.disk_gb:g} GB needed for a table (ADVUNLEARN_STORE moves it)"
    return Finding("disk", free > profile.disk_gb, f"{free:.0f} GB free for {store}, {needed}")


def gpus(profile: Profile) -> list[Finding]:
    """Each GPU that torch sees, or that there is none."""
    needed = "none needed"
    if profile.gpu_gb:
        needed = f"{profile.gpu_gb:g} GB needed, {profile.gpu_unet_gb:g} to train a UNet"
    cards = []
    for index in range(torch.cuda.device_count()):
        total = torch.cuda.get_device_properties(index).total_memory / 1e9
        remedy = f"{torch.cuda.get_device_name(index)}, {total:.0f} GB; {needed}"
        cards.append(Finding(f"GPU {index}", total >= profile.gpu_gb, remedy))
    return cards or [Finding("GPU", not profile.gpu_gb, f"none that torch sees; {needed}")]


def bf16(profile: Profile) -> Finding:
    """Instructions for bf16, where the profile computes in it."""
    fast = multiplies_bf16(device_named(profile.device))
    remedy = "instructions for it" if fast else "no instructions for it here: many times slower than fp32"
    return Finding("bf16", fast, remedy, needed=False)


def extra(name: str, needed: bool = True) -> Finding:
    """An optional package."""
    module = EXTRAS[name]
    present = importlib.util.find_spec(module) is not None
    remedy = f"{module} is installed" if present else f"pip install -c requirements.lock -e '.[{name}]'"
    return Finding(f"extra {name!r}", present, remedy, needed)


def model(name: str, index: str, way_out: str) -> Finding:
    """A model in a folder, in the cache, or on the hub; ``way_out`` would take a folder."""
    if Path(name).exists():
        return Finding(name, True, "local folder")
    from huggingface_hub import try_to_load_from_cache

    repository, options = hub.location(name)
    if isinstance(try_to_load_from_cache(repository, index, revision=options["revision"]), str):
        return Finding(name, True, "in the hub cache")
    if hub.offline():
        return Finding(
            name, False, f"not in the cache, and HF_HUB_OFFLINE is set: go online once, or {way_out}"
        )
    try:
        with urlopen(
            f"https://huggingface.co/{repository}/resolve/{options['revision']}/{index}", timeout=10
        ) as answer:
            return Finding(name, answer.status == 200, "on the hub; fetched when first needed")
    except OSError as error:
        return Finding(
            name,
            False,
            f"not in the cache, and the hub does not answer ({error}): go online once, or {way_out}",
        )


def judge(profile: Profile, concept: Concept) -> Finding:
    """A concept's judge."""
    if concept.judge == "nudenet":
        return nudity_detector(profile)
    if remedy := profile.judge_remedy(concept):
        return Finding(f"judge {concept.judge}", False, remedy)
    folder = concept.judge.partition("@")[0]
    return model(
        profile.judge(concept.judge), "config.json", f"put it into FOLDER/{folder} and --set judges=FOLDER"
    )


def nudity_detector(profile: Profile) -> Finding:
    """NudeNet's package, and for the benchmark's detector its weights."""
    found, where = extra("nudity")._replace(what="judge nudenet"), profile.judge("nudenet")
    if not found.present or not is_official(where):
        return found
    try:
        path = nudenet_official.locate(where, profile.detector_sha256)
    except UserError as error:
        return found._replace(present=False, remedy=str(error))
    return found._replace(remedy=f"{path}, SHA-256 {nudenet_official.sha256_of(path)}")


def prompt_files(profile: Profile) -> Finding:
    """The official prompt files."""
    folder = Path(profile.prompts_dir) if profile.prompts_dir else None
    lacking = []
    for name in SHA256:
        try:
            locate(name, folder)
        except UserError:
            lacking.append(name)
    remedy = f"cannot get {', '.join(lacking)}: go online once, or --prompts-dir FOLDER"
    return Finding("prompt files", not lacking, remedy if lacking else f"{len(SHA256)} files")


def reference(profile: Profile) -> Finding:
    """FID's real pictures."""
    remedy = "--set reference=FOLDER of 10,000 COCO pictures, or an .npz of mu and sigma; FID needs it"
    return Finding("FID reference", bool(profile.reference), profile.reference or remedy)
