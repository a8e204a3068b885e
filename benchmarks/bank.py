"""What the bank and batching save, against the plain way in the same run: ``python benchmarks/bank.py``.

Prints ratios of seconds. The plain way is the official one: sample z_t from scratch at each step; attack one
prompt at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from advunlearn_lib.attacks.records import AttackedPrompt, Budget
from advunlearn_lib.attacks.unlearndiffatk import UnlearnDiffAtk
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.profiles.pocket import POCKET

RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a train", "a photo of a chair"]


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    """Time both pairs."""
    model = LatentDiffusion.load(POCKET.base)

    def training(resample: bool) -> float:
        options = {"iterations": 6, "per_prompt": 8, "resample": resample}
        method = prepare("advunlearn", Task(model, ["church"], RETAIN), options)
        return seconds(lambda: train(method))

    plain, bank = training(True), training(False)
    print(
        f"AdvUnlearn, 6 iterations: from scratch {plain:.1f} s, bank {bank:.1f} s, ratio {plain / bank:.1f}"
    )

    sampling, prompts = (
        Sampling(steps=10),
        [AttackedPrompt("a photo of a church", seed) for seed in range(12)],
    )
    targets = model.encode_images(
        model.generate([p.text for p in prompts], [p.seed for p in prompts], sampling)
    )

    def attacking(batch: int) -> float:
        budget = Budget(timesteps=2, steps=4, batch=batch)
        attack = UnlearnDiffAtk(
            model, lambda pictures: torch.zeros(len(pictures), dtype=torch.bool), budget, sampling
        )
        return seconds(lambda: attack.run(prompts, targets))

    single, batched = attacking(1), attacking(12)
    print(
        f"UnlearnDiffAtk, 12 prompts: one at a time {single:.1f} s, batched {batched:.1f} s, ratio {single / batched:.1f}"
    )


if __name__ == "__main__":
    main()
