"""A Markdown table of how far the library is from the plain re-implementations, on the pocket model.

``python -m reference.report`` in ``tests``, or ``python tests/reference/report.py``.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.profiles.pocket import POCKET
from reference import compare

RESEEDED = ("reseeded_evaluation",)


def rows(model):
    """(what, largest difference)."""
    yield "text encoder with soft tokens: embeddings", compare.text_encoder(model)
    yield "DDIM path, 10 steps: latents", compare.sampling_path(model)
    yield "LMS, 12 steps: pixels in [0, 1]", compare.lms(model)
    for layout in compare.LAYOUTS:
        loss, gradient = compare.erasing_loss(model, layout)
        yield f"AdvUnlearn, one iteration, {layout}: loss", loss
        yield f"AdvUnlearn, one iteration, {layout}: gradient, relative to its largest entry", gradient
    for quirks in compare.QUIRKS:
        for steps in (1, 4):
            what = f"AdvUnlearn's inner attack, K = {steps}, {named(quirks)}: token embeddings"
            yield what, compare.inner_attack(model, quirks, steps)
    for quirks in ((), compare.OFFICIAL):
        losses, weights = compare.training(model, quirks)
        yield f"AdvUnlearn, six iterations, {named(quirks)}: losses", losses
        yield f"AdvUnlearn, six iterations, {named(quirks)}: trained weights", weights
    for version in (2023, 2025):
        yield f"UCE {version}: edited weights", compare.uce(model, version)
        what = f"UCE {version} with preserved texts and a guide: edited weights"
        yield what, compare.uce(model, version, compare.RETAIN, "dog")
    loss, gradient = compare.fmn(model)
    yield "FMN: loss", loss
    yield "FMN: gradient, relative to its largest entry", gradient
    for quirks in ((), ("told_timestep", "blank_anchors")):
        yield f"SPM, {named(quirks)}: loss with anchors", compare.spm(model, quirks)[0]
    for name, original in (("UnlearnDiffAtk", None), ("P4D", compare.changed(model))):
        for quirks in ((), RESEEDED):
            texts, variable = compare.attack(model, name, quirks, original)
            yield f"{name}, three rounds, {named(quirks)}: texts that differ", texts
            yield f"{name}, three rounds, {named(quirks)}: searched variable", variable


def named(quirks):
    """A set of quirks in words."""
    sets = {
        (): "no quirks",
        compare.OFFICIAL: "all official quirks",
        compare.FAST_AT: "Fast AT's official quirks",
    }
    return sets.get(quirks, ", ".join(quirks))


def main():
    """Print the table."""
    torch.set_num_threads(1)
    print("| what | maximum difference |", "|---|---|", sep="\n")
    for what, difference in rows(load_model(POCKET.base)):
        value = str(difference) if isinstance(difference, int) else f"{difference:.1e}"
        print(f"| {what} | {value} |", flush=True)


if __name__ == "__main__":
    main()
