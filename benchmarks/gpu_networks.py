"""Seconds of Stable Diffusion's networks alone: what benchmarks/gpu.py times besides whole jobs."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.replay import Replayed

Row = dict[str, Any]
DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


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
    """bf16 by autocast and by weights in bf16, each as it is and with channels last."""
    half = copy.deepcopy(pipeline.unet).to(torch.bfloat16)
    for unet, setting in ((pipeline.unet, "bf16"), (half, "bf16 weights")):
        yield partial(laid_out, unet, setting)
        yield partial(to_embedding, unet, setting)
        unet.to(memory_format=torch.channels_last)
        yield partial(laid_out, unet, f"{setting}, channels last")
        yield partial(to_embedding, unet, f"{setting}, channels last")


def compiled(pipeline: Any) -> Iterator[Callable[[], Row]]:
    """In bf16 by autocast, then with weights in bf16; the first call of each compiles."""
    pipeline.unet.compile()
    for batch in (16, 32, 64, 128):
        yield partial(laid_out, pipeline.unet, "bf16, compiled", batch)
    yield partial(to_embedding, pipeline.unet, "bf16, compiled")
    half = copy.deepcopy(pipeline.unet).to(torch.bfloat16)
    half.compile()
    yield partial(laid_out, half, "bf16 weights, compiled")


def called(unet: Any, setting: str, batch: int, dtype: torch.dtype) -> tuple[Callable[[], Tensor], Tensor]:
    """A UNet's call, and the embeddings that it is given."""
    z, c = (torch.randn(batch, *shape, device="cuda", dtype=dtype) for shape in ((4, 64, 64), (77, 768)))
    t, c = torch.full((batch,), 500, device="cuda"), c.requires_grad_(True)

    def call() -> Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.float32):
            return unet(z, t, c, return_dict=False)[0]

    return call, c


@torch.no_grad()
def laid_out(unet: Any, setting: str, batch: int = 16) -> Row:
    """Forward."""
    began = time.monotonic()
    call, _ = called(unet, setting, batch, unet.dtype)
    call()
    torch.cuda.synchronize()
    first = time.monotonic() - began
    row = made("UNet, forward", setting, batch, "sample", seconds(call) / batch)
    return row | {"first_call": round(first, 1)}


def to_embedding(unet: Any, setting: str) -> Row:
    """To the prompt embedding and back."""
    call, c = called(unet, setting, 32, unet.dtype)
    taken = seconds(lambda: torch.autograd.grad(call().float().sum(), c), 3)
    return made("UNet, to the embedding", setting, 32, "sample", taken / 32)
