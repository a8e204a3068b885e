"""A profile's whole code path at full size, timed, its memory counted.

It runs two iterations of every method and attack. It needs no download: the paper's architecture with random
weights (``diffusion/random_weights.py``), or the profile's own model where it is local. Each row runs in a
process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import CLIPConfig, CLIPImageProcessor

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.orphans import end_with_parent
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.diagnose.memory import account
from advunlearn_lib.diffusion.device import DTYPES, device_named
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.random_weights import write
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.metrics.tensor_clip import TensorCLIP
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import COMPONENTS, Profile

RETAIN = [f"a photo of a {word}" for word in ("dog", "cat", "train", "chair", "drum")]


def print_dry_run(profile: Profile, store: Path) -> bool:
    """Print every row as it ends and the table of all; does everything work?"""
    base = profile.base
    if profile.name == "paper" and not Path(profile.base).exists():
        base = str(write(store / "random-sd-v1-4", load_model(POCKET.base).tokenizer))
    table = dry_run(profile, base)
    print(f"\ntwo iterations each, {base}\n{table.round(2).to_string(index=False)}")
    failed = table[table.error.notna()] if "error" in table else table[:0]
    if len(failed):
        print(f"\n{len(failed)} of {len(table)} do not work here: {', '.join(failed.what)}")
    return not len(failed)


def dry_run(profile: Profile, base: str) -> pd.DataFrame:
    """Time and peak memory of two iterations of every method and attack on the model ``base``.

    Columns what, seconds, peak_gb (not on Windows), and error where one does not work. Each row is
    printed as it ends.
    """
    tasks: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [("generate", run_generate, (base,))]
    for method, part in trained_parts(profile):
        tasks.append((f"{method} {part}", run_method, (base, method, part, profile.precision)))
    tasks += [(f"attack {name}", run_attack, (base, name)) for name in ATTACKS]
    rows = []
    for what, function, arguments in tqdm(tasks, desc="dry run"):
        rows.append({"what": what} | in_process_of_its_own(function, arguments))
        values = (f"{n} {v:.2f}" if isinstance(v, float) else str(v) for n, v in rows[-1].items())
        tqdm.write("  ".join(values))
    return pd.DataFrame(rows)


def in_process_of_its_own(function: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    """What ``function`` measured, or its error; a new process, whose peak is this task's alone."""
    with ProcessPoolExecutor(1, get_context("spawn"), expendable) as pool:
        try:
            return dict(pool.submit(function, *arguments).result())
        except BrokenProcessPool:
            return {"error": "its process was killed, most likely for want of memory"}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}


def expendable() -> None:
    """Where memory runs out, Linux is to kill this process and no other; it ends with its parent."""
    end_with_parent()
    with suppress(OSError):  # other systems have no such file
        Path("/proc/self/oom_score_adj").write_text("1000")


def trained_parts(profile: Profile) -> list[tuple[str, str]]:
    """Each method with each part it trains."""
    rows = {(settings.method, COMPONENTS[key.component]) for key, settings in profile.methods.items()}
    return sorted(rows)


def measured(began: float, **more: Any) -> dict[str, Any]:
    """Seconds since ``began`` and this process's peak memory, where the system counts it."""
    return {"seconds": time.monotonic() - began, **peak_memory(), **more}


def peak_memory() -> dict[str, float]:
    """``peak_gb`` of this process, and nothing on Windows."""
    try:
        import resource
    except ImportError:
        return {}
    return {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def load(base: str, precision: str = "fp32") -> LatentDiffusion:
    """The model, on a GPU if there is one."""
    torch.set_num_threads(os.cpu_count() or 1)
    return load_model(base, device_named(), DTYPES[precision])


def run_generate(base: str) -> dict[str, Any]:
    """One picture of two steps."""
    model = load(base)
    began = time.monotonic()
    model.generate(["a photo of a church"], [0], Sampling("lms", 2, 7.5))
    return measured(began)


def run_method(base: str, method: str, part: str, precision: str) -> dict[str, Any]:
    """Two iterations of ``method`` in the least memory, and an account of its tensors.

    The least memory is one sample at a time.
    """
    model = load(base, precision)
    model.micro_batch = 1
    options = METHODS[method].OPTIONS.marked("smallest")
    options |= {"component": part, "group": "full" if part == "text_encoder" else unet_group(method)}
    task = Task(model, ["church"], RETAIN, ["a photo of a dog"], ["church"])
    began = time.monotonic()
    with account() as ledger:
        run = prepare(method, task, options)
        train(run)
    return measured(began, **ledger.of(run))


def unet_group(method: str) -> str:
    """The weights that a method trains of a UNet."""
    options = METHODS[method].OPTIONS()
    return options.group if options.component == "unet" else "noxattn"


def never(images: torch.Tensor) -> torch.Tensor:
    """A judge that no picture convinces."""
    return torch.zeros(len(images), dtype=torch.bool)


def run_attack(base: str, name: str) -> dict[str, Any]:
    """Two gradient steps on one prompt that is never broken, and the judged pictures.

    Each picture takes one denoising step.
    """
    model = load(base)
    model.micro_batch = 1
    clip = (TensorCLIP(CLIPConfig()).eval(), CLIPImageProcessor()) if ATTACKS[name].NEEDS_CLIP else None
    budget = ATTACKS[name].BUDGET(**ATTACKS[name].BUDGET.marked("smallest"))
    sampling = Sampling("lms", 1, 7.5)
    attack = ATTACKS[name](model, never, budget, sampling, original=model, clip=clip, batch=1)
    began = time.monotonic()
    target = torch.zeros(1, *model.latent_shape(), device=model.device)
    attack.run([EvaluationPrompt("a photo of a church", 0)], target)
    return measured(began)
