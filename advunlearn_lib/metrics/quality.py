"""FID and CLIP score of a model's pictures, drawn and looked
at some at a time: ten thousand would not fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advunlearn_lib.attacks.pictures import generate_pictures
from advunlearn_lib.attacks.records import EvaluationPrompt
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.diffusion.microbatch import in_memory
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.metrics.clip_score import check_count, clip_scores, mean_clip_score
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.metrics.fid import Statistics, frechet_distance

PICTURES = 100  # held in memory at once; a multiple of the CLIP score's blocks
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
) -> dict[str, Estimate]:
    """``clip``: CLIP score, with a model and its processor; ``fid``: with ``features``, an ``Inception`` or
    ``Classifier``, and ``reference``, its features of real pictures [n, d] or their statistics.

    ``batch``: pictures made at once; ``seed``: of the bootstrap. Raises :class:`UserError` for a number of
    captions that the CLIP score does not take, before anything is drawn.
    """
    if clip is not None:
        check_count(len(captions))
    starts = range(0, len(captions), PICTURES)

    def look(numbers: Sequence[int]) -> list[tuple[Tensor | None, np.ndarray | None]]:
        results = []
        for start in tqdm([starts[number] for number in numbers], desc="pictures", leave=False):
            part = captions[start : start + PICTURES]
            images = in_memory(partial(generate_pictures, model, part, sampling, batch=batch), model, batch)
            seen = None if features is None else features.features(images)
            scores = None if clip is None else clip_scores(clip, images, [prompt.text for prompt in part])
            results.append((seen, scores))
        return results

    seen, scores = zip(*split(len(starts), look), strict=True)
    estimates = {}
    if features is not None and reference is not None:
        estimates["fid"] = frechet_distance(reference, torch.cat(seen), seed=seed)
    if clip is not None:
        estimates["clip"] = mean_clip_score(np.concatenate(scores), len(captions), seed)
    return estimates
