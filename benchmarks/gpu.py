"""Seconds and memory of Stable Diffusion v1.4 on this machine's GPU.

``python benchmarks/gpu.py FILE.csv [GROUP ...]``. The architecture has random weights, so that nothing is
fetched. A row is written as soon as it is measured: ``what`` is done, in which ``setting``, with how many
samples at once (``batch``), ``seconds`` of one ``per``, and ``peak_gb``, the most that torch had allocated on
the card; or the ``error``. ``first_call``: seconds, of the UNet in several forms. fp32 is torch's own:
convolutions are in TF32.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import CLIPConfig, CLIPImageProcessor

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.settings import Precision
from advunlearn_lib.diagnose.dry_run import RETAIN, never
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.microbatch import in_smaller_batches
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.random_weights import build_pipeline
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment import resolve
from advunlearn_lib.metrics.tensor_clip import TensorCLIP
from advunlearn_lib.profiles.paper import NUDITY, PAPER
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import COMPONENTS
from benchmarks.gpu_networks import Row, compiled, layouts, made, model_in, parts, seconds

PROMPTS = [EvaluationPrompt("a photo of a church", seed) for seed in range(32)]
ITERATIONS = 4  # of each method; the first warms up
STEPS = {"PH2P": 1, "PEZ": 20}  # of each attack, else 3; PH2P's are of 20 gradients each


def main() -> None:
    """Measure, and write each row."""
    file, *names = sys.argv[1:]
    began, rows = time.monotonic(), list[Row]()
    pipeline = build_pipeline(load_model(POCKET.base).tokenizer, "cuda")
    made_on = {"card": torch.cuda.get_device_name(), "torch": torch.__version__}
    for name in names or GROUPS:
        for job in GROUPS[name](pipeline):
            torch.cuda.reset_peak_memory_stats()
            try:
                row = job()
            except Exception as error:  # the others may work
                row = {"what": name, "error": f"{type(error).__name__}: {error}"[:300]}
            rows.append(row | made_on)
            print(f"{time.monotonic() - began:4.0f} s", *row.values(), flush=True)
            pd.DataFrame(rows).to_csv(Path(file), index=False)


def pictures(pipeline: Any) -> Iterator[Callable[[], Row]]:
    """Whole pictures by LMS, as the protocol has them."""
    for setting, steps, batch in (("fp32", 10, 8), ("fp32", 10, 16), ("bf16", 100, 8), ("bf16", 100, 16)):
        yield partial(drawn, pipeline, setting, steps, batch)
    for batch in (16, 32, 64):
        yield partial(drawn, pipeline, "bf16", 100, batch, compiled=True)


def drawn(pipeline: Any, setting: str, steps: int, batch: int, *, compiled: bool = False) -> Row:
    """A batch of pictures."""
    precision: Precision = "bf16" if setting == "bf16" else "fp32"
    sampling = Sampling("lms", steps, 7.5, precision=precision, compiled=compiled)
    model = model_in(pipeline, setting)
    draw = partial(model.generate, ["a church"] * batch, range(batch), sampling, batch)
    name = f"picture of {steps} steps"
    return made(name, setting + ", compiled" * compiled, batch, "picture", seconds(draw, 1) / batch)


def methods(pipeline: Any) -> Iterator[Callable[[], Row]]:
    """An iteration of each method that the paper has for nudity."""
    for key in PAPER.methods:
        if key.kind == "broad":
            yield partial(trained, pipeline, key)


def trained(pipeline: Any, key: Any) -> Row:
    """With the profile's options and batch sizes; fewer pictures and shorter sampling paths before it."""
    settings = PAPER.methods[key]
    concept = NUDITY.options.get(settings.method, {})
    given = {"component": COMPONENTS[key.component]} | concept | settings.options
    options = METHODS[settings.method].OPTIONS(**given).scaled(ITERATIONS / 1000)
    small = {"iterations": ITERATIONS, "warm_up": 0, "steps": 10}
    options = options.model_copy(update={k: v for k, v in small.items() if getattr(options, k, 0)})
    model = model_in(pipeline, PAPER.precision)
    forget, instead = list(NUDITY.forget_prompts), [NUDITY.surrogate]
    task = Task(model, ["nudity"], RETAIN, instead, ["nudity"], forget, ["a photo of a dog"])
    taken = train(prepare(settings.method, task, options)).seconds[1:] or [0.0]
    median = sorted(taken)[len(taken) // 2]
    return made(f"{key.method}, {key.component}", PAPER.precision, options.batch, "iteration", median)


def attacks(pipeline: Any, setting: str = "fp32") -> Iterator[Callable[[], Row]]:
    """A gradient step of each attack; UnlearnDiffAtk also on as many prompts at once as the tables have."""
    sizes = [("UnlearnDiffAtk", 1), ("UnlearnDiffAtk", 32), *((name, 8) for name in ("P4D", "PEZ", "PH2P"))]
    yield from (partial(attacked, pipeline, setting, *one) for one in sizes)
    yield partial(inverted, pipeline, setting)


def compiled_attacks(pipeline: Any) -> Iterator[Callable[[], Row]]:
    """UnlearnDiffAtk in bf16 on fewer and fewer prompts, as they leave a batch."""
    for size in (32, 20, 12):
        yield partial(attacked, pipeline, "bf16", "UnlearnDiffAtk", size, compiled=True)


def attacked(pipeline: Any, setting: str, name: str, size: int, *, compiled: bool = False) -> Row:
    """A round's steps, without the judged pictures."""
    model, steps, prompts = model_in(pipeline, setting), STEPS.get(name, 3), PROMPTS[:size]
    model.compiled = compiled
    clip = (TensorCLIP(CLIPConfig()).eval().to("cuda"), CLIPImageProcessor())
    sampling = Sampling("lms", 2, 7.5, precision="bf16" if setting == "bf16" else "fp32")
    budget = resolve.attack_budget(PAPER, name, NUDITY, {"timesteps": 1, "steps": steps})
    attack = ATTACKS[name](model, never, budget, sampling, original=model, clip=clip, batch=size)
    search = attack.search(prompts, model.noise(range(size)))
    began = time.monotonic()
    in_smaller_batches(lambda: search.advance(0), model, size)
    first = {"first_call": round(time.monotonic() - began, 1)} if compiled else {}
    parted = f", micro-batches of {model.micro_batch}" if model.micro_batch else ""
    taken = seconds(lambda: search.advance(0), 1) / steps / size
    return made(name, setting + ", compiled" * compiled + parted, size, "step of a prompt", taken) | first


def inverted(pipeline: Any, setting: str) -> Row:
    """A step of CCE's: eight steps' seconds less two's."""
    model, taken = model_in(pipeline, setting), []
    sampling = Sampling("lms", 2, 7.5, precision="bf16" if setting == "bf16" else "fp32")
    for steps in (2, 8):
        budget = resolve.attack_budget(PAPER, "CCE", NUDITY, {"steps": steps, "pictures": 2})
        attack = ATTACKS["CCE"](model, never, budget, sampling, original=model, batch=2)
        taken.append(seconds(partial(attack.prepare, [], torch.empty(0)), 1))
    return made("CCE", setting, 16, "step", (taken[1] - taken[0]) / 6)


GROUPS: dict[str, Callable[[Any], Iterator[Callable[[], Row]]]] = {
    "parts": parts,
    "pictures": pictures,
    "methods": methods,
    "attacks": attacks,
    "attacks-bf16": partial(attacks, setting="bf16"),
    "attacks-compiled": compiled_attacks,
    "layouts": layouts,  # changes the UNet, as does the next
    "compiled": compiled,
}

if __name__ == "__main__":
    main()
