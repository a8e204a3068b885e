"""What a number is the mean of, prompt by prompt or picture by picture: two models can be compared by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file

from advunlearn_lib.attacks.records import AttackResult
from advunlearn_lib.experiment.attack_spec import AttackSpec
from advunlearn_lib.experiment.cells import Cell
from advunlearn_lib.experiment.erasure_spec import ModelSpec
from advunlearn_lib.experiment.picture_specs import KEPT
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.compare import Difference, compare_means, compare_rates, joined
from advunlearn_lib.metrics.estimate import bootstrap_mean, proportion

OUTCOME = {"asr": "after", "pre_asr": "before"}


class Samples(NamedTuple):
    """``values`` [n]: successes (bool), or what each picture adds to FID or CLIP score.

    ``of`` is the key of the prompts or captions: two cells with the same one can be compared pair by pair.
    """

    of: str
    values: NDArray[np.bool_] | NDArray[np.float64]


def read_samples(study: Study, cell: Cell) -> Samples | None:
    """The samples behind a finished cell; None where the store has none, or for a number of another sort."""
    spec = study.protocol.cell(cell)
    if (record := study.record(spec)) is None or isinstance(spec, ModelSpec):
        return None
    if isinstance(spec, AttackSpec):
        outcomes = AttackResult(**record["result"]).prompts
        values = np.array([getattr(one, OUTCOME[cell.metric]) for one in outcomes], bool)
        return Samples(spec.prompts.key, values)
    if KEPT not in record["files"]:
        return None
    kept = load_file(study.store.folder(spec.KIND, spec.recipe) / KEPT)
    return Samples(spec.model_copy(update={"model": None}).key, kept[cell.metric].double().numpy())


def paired(left: Cell, lefts: Sequence[Study], right: Cell, rights: Sequence[Study]) -> Difference | None:
    """``left`` in the studies ``lefts`` less ``right`` in ``rights``, sample by sample over all seeds.

    Two cells of one metric; None unless the store has all samples, of the same prompts or captions.
    """
    ones = [read_samples(study, left) for study in lefts]
    others = [read_samples(study, right) for study in rights]
    pairs = list(zip(ones, others, strict=True))
    if not pairs or not all(one and other and one.of == other.of for one, other in pairs):
        return None
    one, other = (np.concatenate([samples.values for samples in side if samples]) for side in (ones, others))
    return (compare_rates if left.metric in OUTCOME else compare_means)(one, other)


def compare_cells(left: Cell, lefts: Sequence[Study], right: Cell, rights: Sequence[Study]) -> Difference:
    """The same; by the two sides' own intervals where they judge by pictures drawn in different ways."""
    if (difference := paired(left, lefts, right, rights)) is not None:
        return difference
    sides = [
        np.concatenate([samples.values for study in studies if (samples := read_samples(study, cell))])
        for cell, studies in ((left, lefts), (right, rights))
    ]
    if left.metric in OUTCOME:
        one, other = (proportion(int(side.sum()), len(side)) for side in sides)
        return joined(one, other, "Newcombe")
    one, other = (bootstrap_mean(side) for side in sides)
    return joined(one, other, "MOVER")
