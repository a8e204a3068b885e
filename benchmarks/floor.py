"""The floor of a job: its operations over the rate at which this machine multiplies matrices.

``python benchmarks/floor.py`` prints the rate, and what the pocket model's parts cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.profiles.pocket import POCKET

SIDE = 1024
SECONDS = 1.0


@cache
def matmul_rate() -> float:
    """Operations a second of fp32 products of two matrices of 1024 rows, the best of a second's."""
    a, b = torch.randn(2, SIDE, SIDE)
    best, ends = 0.0, time.perf_counter() + SECONDS
    while time.perf_counter() < ends or not best:
        began = time.perf_counter()
        a @ b
        best = max(best, 2 * SIDE**3 / (time.perf_counter() - began))
    return best


def flops(run: Callable[[], object]) -> int:
    """Operations of the matrix products, convolutions and attention in ``run``, backward passes included."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def parts(model: LatentDiffusion) -> Iterator[tuple[str, int]]:
    """(what, operations) for one sample."""
    ids, latents, t = model.tokenize(["a photo of a church"]), model.noise([0]), torch.tensor([500])
    embeds = model.encode_prompts(["a photo of a church"])
    unet = model.copy_of("unet").unet.requires_grad_(True)

    def to_embeds() -> None:
        model.predict(latents, t, embeds.clone().requires_grad_(True)).sum().backward()

    def to_weights() -> None:
        loss: Tensor = unet(latents, t, embeds).sample.sum()
        loss.backward()

    with torch.no_grad():
        yield "UNet, forward", flops(lambda: model.predict(latents, t, embeds))
    yield "UNet, forward and backward to the prompt embedding", flops(to_embeds)
    yield "UNet, forward and backward to all weights", flops(to_weights)
    with torch.no_grad():
        yield "text encoder, forward", flops(lambda: model.encode(ids))
        yield "VAE, decoding", flops(lambda: model.decode_latents(latents))


def main() -> None:
    """Print the table."""
    rate = matmul_rate()
    print(f"matrix products: {rate / 1e9:.1f} GFLOP/s, threads: {torch.get_num_threads()}\n")
    print("| one sample | MFLOP | floor, ms |", "|:--|--:|--:|", sep="\n")
    for what, count in parts(load_model(POCKET.base)):
        print(f"| {what} | {count / 1e6:.1f} | {1e3 * count / rate:.2f} |")


if __name__ == "__main__":
    main()
