"""What is measured on a model's pictures, and pictures to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from advunlearn_lib.base.keys import Recipe
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.experiment.attack_spec import whole
from advunlearn_lib.experiment.erasure_spec import ModelKey
from advunlearn_lib.experiment.spec import PictureSampling, Spec, Where
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.metrics.quality import Split, measure_quality

KEPT = "pictures.safetensors"  # beside a quality cell's numbers: what each picture adds to them


class QualitySpec(Spec):
    """FID and CLIP score of a model, of the table's ``model`` or of one at hand.

    A table's are of ``images`` captions from ``source`` without the words of ``avoid``: COCO has next to no
    nudity either. ``features`` is the network of FID, ``clip`` that of the CLIP score.
    """

    KIND: ClassVar[str] = "quality"
    sampling: PictureSampling
    images: int = 0
    avoid: tuple[str, ...] = ()
    features: Where = ""
    clip: Where = ""
    source: Recipe = Field({})
    seed: int = 0
    model: ModelKey | None = None

    def run(
        self,
        model: LatentDiffusion,
        captions: Sequence[EvaluationPrompt],
        clip: tuple[Any, Any] | None,
        features: Any,
        reference: Tensor | Statistics | None,
        batch: int,
        split: Split = whole,
        kept: Path | None = None,
    ) -> dict[str, Estimate]:
        """``fid`` and ``clip``, those of them that a network was given for.

        ``kept``: where each picture's go. Raises :class:`UserError` for a number of captions that the CLIP
        score does not take.
        """
        return measure_quality(
            model, captions, self.sampling, clip, features, reference, batch, self.seed, split, kept
        )


class PanelSpec(Spec):
    """Pictures of a model."""

    KIND: ClassVar[str] = "panel"
    model: ModelKey
    sampling: PictureSampling
    texts: tuple[str, ...]
    seeds: tuple[int, ...]
