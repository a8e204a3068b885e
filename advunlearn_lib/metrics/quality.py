"""FID and CLIP score of a model's pictures.

They are drawn and looked at some at a time: ten thousand would not fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.diffusion.microbatch import in_smaller_batches
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.pictures import generate_pictures
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.metrics.clip_score import check_count, clip_scores
from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean
from advunlearn_lib.metrics.fid import Statistics, contributions
from advunlearn_lib.metrics.inception import Inception
from advunlearn_lib.metrics.judges import Classifier

AT_ONCE = 100  # held in memory at once
Split = Callable[[int, Callable[[Sequence[int]], list[Any]]], list[Any]]
"""(count, work) -> results of ``work`` on all indices below ``count``, perhaps by several processes."""


def measure_quality(
    model: LatentDiffusion,
    captions: Sequence[EvaluationPrompt],
    sampling: Sampling,
    clip: tuple[Any, Any] | None = None,
    features: Any = None,
    reference: Tensor | Statistics | None = None,
    batch: int = 8,
    seed: int = 0,
    split: Split = lambda count, work: work(range(count)),
    keep: Path | None = None,
) -> dict[str, Estimate]:
    """CLIP score and FID of the pictures that a model makes of captions.

    ``clip``: CLIP score, with a model and its processor; ``fid``: with ``features``, an ``Inception`` or
    ``Classifier``, and ``reference``, its features of real pictures [n, d] or their statistics.

    ``batch``: pictures made at once; ``seed``: of the bootstrap. ``keep``: a safetensors file for what was
    measured of each picture: ``clip`` and ``fid`` [n], whose means are the numbers, and ``features`` [n, d]
    in half precision. Raises :class:`UserError` for fewer than two captions, before anything is drawn.
    """
    check_count(len(captions))
    starts = range(0, len(captions), AT_ONCE)

    def look(numbers: Sequence[int]) -> list[dict[str, Tensor]]:
        results = []
        for start in tqdm([starts[number] for number in numbers], desc="pictures", leave=False):
            part = captions[start : start + AT_ONCE]
            images = in_smaller_batches(
                partial(generate_pictures, model, part, sampling, batch=batch), model, batch
            )
            seen = {} if features is None else {"features": features.features(images)}
            if clip is not None:
                scores = clip_scores(clip, images, [prompt.text for prompt in part])
                seen["clip"] = torch.from_numpy(scores)
            results.append(seen)
        return results

    parts = split(len(starts), look)
    seen = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if features is not None and reference is not None:
        seen = {"fid": torch.from_numpy(contributions(reference, seen["features"])), **seen}
    if keep is not None:
        save_file({name: value.half() if name == "features" else value for name, value in seen.items()}, keep)
    return {name: bootstrap_mean(value.numpy(), seed) for name, value in seen.items() if name != "features"}


def load_features(name: str, device: str | torch.device) -> Any:
    """The network whose features FID uses: "inception", or a judge's folder or hub id."""
    return Inception(torch.device(device)) if name == "inception" else Classifier(name, device=device)
