"""What the bank and batching save, against the plain way in the same run: ``python benchmarks/bank.py``.

Prints ratios of seconds. The plain way is the official one: sample z_t from scratch at each step; attack one
prompt at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.unlearndiffatk import UnlearnDiffAtk
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.pictures import target_latents
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.profiles.pocket import POCKET

INNER = {
    "iterations": 6, "batch": 8, "steps": 20, "per_prompt": 8,
    "attack_steps": 4, "warm_up": 0, "retain_batch": 4,
}  # fmt: skip
RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a train", "a photo of a chair"]


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    """Time both pairs."""
    model = load_model(POCKET.base)

    def training(resample: bool) -> float:
        options = INNER | {"resample": resample}
        method = prepare("advunlearn", Task(model, ["church"], RETAIN), options)
        return seconds(lambda: train(method))

    plain, bank = training(True), training(False)
    print(
        f"AdvUnlearn, 6 iterations: from scratch {plain:.1f} s, bank {bank:.1f} s, ratio {plain / bank:.1f}"
    )

    sampling = Sampling("dpm++", 10, 5.0)
    prompts = [EvaluationPrompt("a photo of a church", seed) for seed in range(12)]
    targets = target_latents(model, prompts, sampling, 12)

    def attacking(batch: int) -> float:
        budget = Budget(timesteps=2, steps=4)
        attack = UnlearnDiffAtk(model, never, budget, sampling, batch=batch)
        return seconds(lambda: attack.run(prompts, targets))

    single, batched = attacking(1), attacking(12)
    ratio = single / batched
    print(
        f"UnlearnDiffAtk, 12 prompts: one by one {single:.1f} s, batched {batched:.1f} s, ratio {ratio:.1f}"
    )


def never(images: torch.Tensor) -> torch.Tensor:
    """A judge that no picture convinces."""
    return torch.zeros(len(images), dtype=torch.bool)


if __name__ == "__main__":
    main()
