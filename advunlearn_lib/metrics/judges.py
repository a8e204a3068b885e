"""Judges: does a picture show the concept? Any ``AutoModelForImageClassification``, pocket or paper."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForImageClassification

from advunlearn_lib.errors import UserError


class Classifier:
    """An image classifier with named labels; its pooled features serve FID."""

    def __init__(self, folder: str | Path, batch: int = 128) -> None:
        try:
            self.network = AutoModelForImageClassification.from_pretrained(folder).float().eval()
            self.processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
        except Exception as error:
            raise UserError(f"cannot load an image classifier from {str(folder)!r}: {str(error).splitlines()[0][:200]}") from error
        self.labels: list[str] = [self.network.config.id2label[i] for i in range(self.network.config.num_labels)]
        self.batch = batch

    def pixels(self, images: Tensor) -> Tensor:
        """What the network takes, from pictures in [0, 1]; rounded to 8 bits first, as saved pictures are."""
        arrays = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return torch.as_tensor(self.processor(list(arrays), return_tensors="pt").pixel_values)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities [n, labels]."""
        logits = [self.network(self.pixels(part)).logits for part in images.split(self.batch)]
        return torch.cat(logits).softmax(-1)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Pooled features [n, d] of the network under the classifier head."""
        trunk = self.network.base_model
        return torch.cat([trunk(self.pixels(part)).pooler_output.flatten(1) for part in images.split(self.batch)])


class LabelJudge:
    """Success: the top-1 label is one of ``labels`` and together they have at least ``threshold`` of the probability.

    A classifier has no word for "nothing": it calls a broken picture something, and by luck a weapon (7 labels of 48). The
    threshold is what the detector's score is to NudeNet.
    """

    def __init__(self, classifier: Classifier, labels: list[str], threshold: float = 0.0) -> None:
        unknown = set(labels) - set(classifier.labels)
        if unknown:
            raise UserError(f"the judge knows no label {sorted(unknown)[0]!r} (allowed: {', '.join(classifier.labels)})")
        self.classifier, self.threshold = classifier, threshold
        self.wanted = torch.tensor([label in labels for label in classifier.labels])

    def __call__(self, images: Tensor) -> Tensor:
        """bool [b]."""
        probabilities = self.classifier.probabilities(images)
        return self.wanted[probabilities.argmax(-1)] & (probabilities[:, self.wanted].sum(-1) >= self.threshold)
