"""Seconds and memory of Stable Diffusion v1.4 on this machine's GPU.

``python benchmarks/gpu.py FILE.csv [GROUP ...]``. The architecture has random weights, so that nothing is
fetched. A row is written as soon as it is measured: ``what`` is done, in which ``setting``, with how many
samples at once (``batch``), ``seconds`` of one ``per``, and ``peak_gb``, the most that torch had allocated on
the card; or the ``error``. fp32 is torch's own: convolutions are in TF32.
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
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessor

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.diagnose.dry_run import RETAIN, never
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.microbatch import in_smaller_batches
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.random_weights import build_pipeline
from advunlearn_lib.diffusion.replay import Replayed
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment import resolve
from advunlearn_lib.metrics.tensor_clip import TensorCLIP
from advunlearn_lib.profiles.paper import NUDITY, PAPER
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import COMPONENTS

Row = dict[str, Any]
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
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


def seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """The median of ``repeats``, after one that warms up."""
    taken = []
    for _ in range(1 + repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return sorted(taken[1:])[repeats // 2]


def made(what: str, setting: str, batch: int, per: str, value: float) -> Row:
    """A row."""
    row: Row = {"what": what, "setting": setting, "batch": batch, "per": per}
    peak = torch.cuda.max_memory_allocated() / 1e9
    return row | {"seconds": float(f"{value:.4g}"), "peak_gb": round(peak, 2)}


def model_in(pipeline: Any, setting: str) -> LatentDiffusion:
    """The model in fp32, in tf32 (matrix products too), or in bf16."""
    torch.backends.cuda.matmul.allow_tf32 = setting == "tf32"
    return LatentDiffusion(pipeline, DTYPES[setting])


def inputs(model: LatentDiffusion, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, timesteps and prompt embeddings."""
    embeds = model.encode_prompts(["a photo of a church"]).repeat(batch, 1, 1)
    return model.noise(range(batch)), torch.full((batch,), 500, device=model.device), embeds


# -- the networks ----------------------------------------------------------------------------------------


def parts(pipeline: Any) -> Iterator[Callable[[], Row]]:
    """Matrix products, the UNet forward and backward, the VAE."""
    yield from (partial(product, dtype) for dtype in (torch.float32, torch.bfloat16))
    yield from (partial(forward, pipeline, setting, batch) for setting in DTYPES for batch in (1, 2, 16, 64))
    yield from (partial(decoding, pipeline, setting) for setting in DTYPES)
    yield from (
        partial(backward, pipeline, setting, batch) for setting in ("fp32", "bf16") for batch in (1, 5, 32)
    )
    yield from (partial(played, pipeline, setting) for setting in ("fp32", "bf16"))


def product(dtype: torch.dtype, size: int = 8192) -> Row:
    """What the card can do at most."""
    a = torch.randn(2, size, size, device="cuda", dtype=dtype)
    taken = seconds(lambda: a[0] @ a[1])
    return made(
        f"product of {size} x {size} matrices", str(dtype).removeprefix("torch."), 1, "product", taken
    )


@torch.no_grad()
def forward(pipeline: Any, setting: str, batch: int, name: str = "UNet, forward") -> Row:
    """F of docs/scaling.md."""
    model = model_in(pipeline, setting)
    given = inputs(model, batch)
    return made(name, setting, batch, "sample", seconds(lambda: model.predict(*given)) / batch)


def decoding(pipeline: Any, setting: str) -> Row:
    """The VAE, which is in fp32 unless a pipeline calls it."""
    model = model_in(pipeline, setting)
    latents = model.noise(range(16)) * 0.1
    return made(
        "VAE, decoding", setting, 16, "sample", seconds(lambda: model.decode_latents(latents), 3) / 16
    )


def backward(pipeline: Any, setting: str, batch: int, name: str = "UNet, to the embedding") -> Row:
    """A step of an attack, the text encoder left out."""
    model = model_in(pipeline, setting)
    z, t, c = inputs(model, batch)
    c.requires_grad_(True)
    run = partial(torch.autograd.grad, inputs=c)
    return made(name, setting, batch, "sample", seconds(lambda: run(model.predict(z, t, c).sum()), 3) / batch)


def played(pipeline: Any, setting: str) -> Row:
    """The same of one sample as a CUDA graph: launching costs nothing."""
    model = model_in(pipeline, setting)
    z, t, c = inputs(model, 1)
    replayed = Replayed(
        lambda c: torch.autograd.grad(model.predict(z, t, c.requires_grad_(True)).sum(), c)[0]
    )
    return made(
        "UNet, to the embedding", f"{setting}, played back", 1, "sample", seconds(lambda: replayed(c), 3)
    )


def layouts(pipeline: Any) -> Iterator[Callable[[], Row]]:
    """With channels last, and compiled."""
    pipeline.unet.to(memory_format=torch.channels_last)
    for setting in ("fp32", "bf16"):
        yield partial(forward, pipeline, setting, 16, "UNet, forward, channels last")
        yield partial(backward, pipeline, setting, 32, "UNet, to the embedding, channels last")
    pipeline.unet.to(memory_format=torch.contiguous_format)
    began = time.monotonic()
    pipeline.unet.compile()
    yield partial(forward, pipeline, "bf16", 16, "UNet, forward, compiled")
    yield lambda: made("compiling the UNet, and that row", "bf16", 16, "model", time.monotonic() - began)


# -- the jobs --------------------------------------------------------------------------------------------


def pictures(pipeline: Any) -> Iterator[Callable[[], Row]]:
    """Whole pictures by LMS, as the protocol has them."""
    for setting, steps, batch in (("fp32", 10, 8), ("fp32", 10, 16), ("bf16", 100, 8), ("bf16", 100, 16)):
        yield partial(drawn, pipeline, setting, steps, batch)


def drawn(pipeline: Any, setting: str, steps: int, batch: int) -> Row:
    """A batch of pictures."""
    sampling = Sampling("lms", steps, 7.5, precision="bf16" if setting == "bf16" else "fp32")
    model = model_in(pipeline, setting)
    draw = partial(model.generate, ["a church"] * batch, range(batch), sampling, batch)
    return made(f"picture of {steps} steps", setting, batch, "picture", seconds(draw, 1) / batch)


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


def attacks(pipeline: Any) -> Iterator[Callable[[], Row]]:
    """A gradient step of each attack; UnlearnDiffAtk also on as many prompts at once as the tables have."""
    sizes = [("UnlearnDiffAtk", 1), ("UnlearnDiffAtk", 32), *((name, 8) for name in ("P4D", "PEZ", "PH2P"))]
    for setting in ("fp32", "bf16"):
        yield from (partial(attacked, pipeline, setting, *one) for one in sizes)
        yield partial(inverted, pipeline, setting)


def attacked(pipeline: Any, setting: str, name: str, size: int) -> Row:
    """A round's steps, without the judged pictures."""
    model, steps, prompts = model_in(pipeline, setting), STEPS.get(name, 3), PROMPTS[:size]
    clip = (TensorCLIP(CLIPConfig()).eval().to("cuda"), CLIPImageProcessor())
    sampling = Sampling("lms", 2, 7.5, precision="bf16" if setting == "bf16" else "fp32")
    budget = resolve.attack_budget(PAPER, name, NUDITY, {"timesteps": 1, "steps": steps})
    attack = ATTACKS[name](model, never, budget, sampling, original=model, clip=clip, batch=size)
    search = attack.search(prompts, model.noise(range(size)))
    in_smaller_batches(lambda: search.advance(0), model, size)
    parted = f", micro-batches of {model.micro_batch}" if model.micro_batch else ""
    taken = seconds(lambda: search.advance(0), 1) / steps / size
    return made(name, setting + parted, size, "step of a prompt", taken)


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
    "layouts": layouts,  # changes the UNet: the last
}

if __name__ == "__main__":
    main()
