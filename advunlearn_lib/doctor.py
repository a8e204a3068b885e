"""``./reproduce.sh doctor``: what this machine has and lacks for a profile, and the profile's whole code path at full size.

The dry run needs no download: the paper's architecture with random weights (``paper/snapshot.py``), or the profile's own
model where it is local. Each method and attack runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import resource
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pandas as pd
import torch
from transformers import CLIPConfig, CLIPImageProcessor

from advunlearn_lib import hub
from advunlearn_lib.attacks import ATTACKS, AttackedPrompt, Budget
from advunlearn_lib.device import device_named
from advunlearn_lib.erasure import METHODS, Task, prepare, train
from advunlearn_lib.errors import UserError
from advunlearn_lib.memory import account
from advunlearn_lib.metrics.clip_score import TensorCLIP
from advunlearn_lib.model import DTYPES, LatentDiffusion, Sampling
from advunlearn_lib.profiles import Profile
from advunlearn_lib.progress import tqdm

EXTRAS = {"nudenet": "nudity", "torch_fidelity": "fid", "ray": "ray"}
SMALL = {"iterations": 2, "steps": 2, "per_prompt": 1, "retain_per_prompt": 1, "sampling_steps": 2, "mask_batches": 1, "snip_batches": 1,
         "inner_steps": 1, "attack_steps": 2, "warm_up": 0, "batch": 1}  # fmt: skip
RETAIN = [f"a photo of a {word}" for word in ("dog", "cat", "train", "chair", "drum")]


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    fine: bool
    told: str


def findings(profile: Profile, store: Path) -> list[Finding]:
    """Everything a run of ``profile`` needs, present or not, and how to get it."""
    free = shutil.disk_usage(store if store.exists() else store.parent).free / 1e9
    found = [
        Finding("python", True, f"{platform.python_version()}, torch {torch.__version__}, diffusers {version('diffusers')}"),
        Finding(
            "disk",
            free > profile.disk_gb,
            f"{free:.0f} GB free for {store}, about {profile.disk_gb:g} GB needed for a table (ADVUNLEARN_STORE moves it)",
        ),
    ]
    told = f"{profile.gpu_gb:g} GB needed, {profile.gpu_unet_gb:g} to train a UNet" if profile.gpu_gb else "none needed"
    for index in range(torch.cuda.device_count()):
        total = torch.cuda.get_device_properties(index).total_memory / 1e9
        found.append(Finding(f"GPU {index}", total >= profile.gpu_gb, f"{torch.cuda.get_device_name(index)}, {total:.0f} GB; {told}"))
    if not torch.cuda.is_available():
        found.append(Finding("GPU", not profile.gpu_gb, f"none that torch sees; {told}"))
    if profile.name == "paper":
        found += [extra(module, name) for module, name in EXTRAS.items()]
        found += [model(name, "--base FOLDER") for name in dict.fromkeys((profile.base, *profile.bases.values()))]
        found.append(model(profile.clip, "--set clip=FOLDER"))
        found += [judge(profile, name) for name in dict.fromkeys(concept.judge for concept in profile.concepts.values())]
        found += [prompts(profile), reference(profile)]
    return found


def extra(module: str, name: str) -> Finding:
    """An optional package."""
    present = importlib.util.find_spec(module) is not None
    return Finding(f"extra {name!r}", present, f"{module} is installed" if present else f"pip install -c requirements.lock -e '.[{name}]'")


def model(name: str, instead: str) -> Finding:
    """A model on the hub, in the cache, or in a folder, which ``instead`` would take."""
    if Path(name).exists():
        return Finding(name, True, "local folder")
    from huggingface_hub import try_to_load_from_cache

    repository, options = hub.source(name)
    index = "config.json" if "clip" in repository or "resnet" in repository else "model_index.json"
    if isinstance(try_to_load_from_cache(repository, index, revision=options["revision"]), str):
        return Finding(name, True, "in the hub cache")
    try:
        with urlopen(f"https://huggingface.co/{repository}/resolve/{options['revision']}/{index}", timeout=10) as answer:
            return Finding(name, answer.status == 200, "on the hub; fetched when first needed")
    except OSError as error:
        return Finding(name, False, f"not in the cache, and the hub does not answer ({error}): go online once, or {instead}")


def judge(profile: Profile, name: str) -> Finding:
    """A judge."""
    if name == "nudenet":
        return extra("nudenet", "nudity")._replace(what="judge nudenet")
    where = profile.judge(name)
    if "/" in where:
        return model(where, f"put it into FOLDER/{where} and --set judges=FOLDER")
    told = "put UnlearnDiffAtk's style classifier (its README, 129 WikiArt artists) into FOLDER/wikiart-vit and --set judges=FOLDER"
    return Finding(f"judge {name}", False, told)


def prompts(profile: Profile) -> Finding:
    """The official prompt files."""
    from advunlearn_lib.paper.prompts import SHA256, located

    folder = Path(profile.prompts_dir) if profile.prompts_dir else None
    lacking = []
    for name in SHA256:
        try:
            located(name, folder)
        except UserError:
            lacking.append(name)
    told = f"{len(SHA256)} files" if not lacking else f"cannot get {', '.join(lacking)}: go online once, or --prompts-dir FOLDER"
    return Finding("prompt files", not lacking, told)


def reference(profile: Profile) -> Finding:
    """FID's real pictures."""
    told = profile.reference or "--set reference=FOLDER of 10,000 COCO pictures, or FILE.npz with mu and sigma; only FID needs it"
    return Finding("FID reference", bool(profile.reference), told)


def dry_run(profile: Profile, snapshot: Path | None) -> pd.DataFrame:
    """Time and peak memory of two iterations of every method and attack: columns what, seconds, peak_gb, and error where one
    does not work. Each row is printed as it ends."""
    base = str(snapshot) if snapshot else profile.base
    tasks: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [("generate", run_generate, (base,))]
    tasks += [(f"{method} {part}", run_method, (base, method, part, profile.precision)) for method, part in variants(profile)]
    tasks += [(f"attack {name}", run_attack, (base, name)) for name in ATTACKS]
    rows = []
    for what, function, arguments in tqdm(tasks, desc="dry run"):
        with ProcessPoolExecutor(1, get_context("spawn"), expendable) as pool:  # a new process: its peak is this task's alone
            try:
                rows.append({"what": what} | pool.submit(function, *arguments).result())
            except BrokenProcessPool:
                rows.append({"what": what, "error": "its process was killed, most likely for want of memory"})
            except Exception as error:
                rows.append({"what": what, "error": f"{type(error).__name__}: {error}"})
        tqdm.write("  ".join(f"{name} {value:.2f}" if isinstance(value, float) else str(value) for name, value in rows[-1].items()))
    return pd.DataFrame(rows)


def expendable() -> None:
    """Where memory runs out, Linux is to kill this process and no other."""
    with suppress(OSError):  # other systems have no such file
        Path("/proc/self/oom_score_adj").write_text("1000")


def variants(profile: Profile) -> list[tuple[str, str]]:
    """Each method with each part it trains."""
    rows = ((options["method"], options.get("component", "unet")) for options in profile.methods.values())
    return sorted(set(rows), key=lambda pair: list(METHODS).index(pair[0]))


def measured(began: float, **more: Any) -> dict[str, Any]:
    """Seconds since ``began`` and this process's peak memory."""
    return {"seconds": time.monotonic() - began, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, **more}


def loaded(base: str, precision: str = "fp32") -> LatentDiffusion:
    """The model, on a GPU if there is one."""
    torch.set_num_threads(os.cpu_count() or 1)
    return LatentDiffusion.load(base, device_named(), DTYPES[precision])


def run_generate(base: str) -> dict[str, Any]:
    """One picture of two steps."""
    net = loaded(base)
    began = time.monotonic()
    net.generate(["a photo of a church"], [0], Sampling("lms", 2, 7.5))
    return measured(began)


def run_method(base: str, method: str, part: str, precision: str) -> dict[str, Any]:
    """Two iterations of ``method`` in the least memory, one sample at a time, and an account of its tensors."""
    net = loaded(base, precision)
    net.micro_batch = 1
    fields = METHODS[method].OPTIONS.model_fields
    options: dict[str, Any] = {name: value for name, value in SMALL.items() if name in fields} | (
        {"iterations": 0} if method == "uce" else {}
    )
    options |= {"component": part, "group": "full" if part == "text_encoder" else fields["group"].default}
    options |= {"retain_batch": 5} if "retain_batch" in fields else {}
    task = Task(net, ["church"], RETAIN[: options.get("retain_batch", 1)], ["a photo of a dog"], ["church"])
    began = time.monotonic()
    with account() as ledger:
        run = prepare(method, task, options)
        train(run)
    return measured(began, **ledger.of(run))


def never(images: torch.Tensor) -> torch.Tensor:
    """A judge that no picture convinces."""
    return torch.zeros(len(images), dtype=torch.bool)


def run_attack(base: str, name: str) -> dict[str, Any]:
    """Two gradient steps on one prompt that is never broken, and the judged pictures, of one denoising step each."""
    net = loaded(base)
    net.micro_batch = 1
    budget = Budget(tokens=3, timesteps=1, steps=2, batch=1)
    clip = (TensorCLIP(CLIPConfig()).eval(), CLIPImageProcessor()) if name == "PEZ" else None  # ViT-B/32, random weights
    attack = ATTACKS[name](net, never, budget, Sampling("lms", 1, 7.5), original=net, clip=clip)
    began = time.monotonic()
    attack.run([AttackedPrompt("a photo of a church", 0)], torch.zeros(1, *net.latent_shape(), device=net.device))
    return measured(began)


def report(profile: Profile, store: Path, dry: bool) -> int:
    """Print the findings, and with ``dry`` the dry run. Raises :class:`UserError` where a method or attack does not work."""
    found = findings(profile, store)
    for finding in found:
        print(f"  {'ok     ' if finding.fine else 'MISSING'} {finding.what}: {finding.told}")
    if dry:
        snapshot = None
        if profile.name == "paper" and not Path(profile.base).exists():
            from advunlearn_lib.paper.snapshot import write
            from advunlearn_lib.pocket.profile import POCKET

            snapshot = write(store / "random-sd-v1-4", LatentDiffusion.load(POCKET.base).tokenizer)
        table = dry_run(profile, snapshot)
        print(f"\ntwo iterations each, {snapshot or profile.base}\n{table.round(2).to_string(index=False)}")
        if "error" in table:
            failed = table[table.error.notna()]
            raise UserError(f"{len(failed)} of {len(table)} do not work here: {', '.join(failed.what)}")
    missing = sum(not finding.fine for finding in found)
    print(f"\n{missing} of {len(found)} things are missing for the profile {profile.name}" if missing else "\neverything is here")
    return 0
