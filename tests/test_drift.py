"""What erasing moves besides the concept: computed once, then read."""

from types import SimpleNamespace

import pytest
import torch

from advunlearn_lib.base.store import Store
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.report import drift


def test_readings_are_cosines_and_are_kept(model, tmp_path):
    other = model.copy_of("text_encoder")
    with torch.no_grad():
        next(iter(other.text_encoder.parameters()))[300:] += 0.01
    row, prompts = Row("church", "ESD", "Text Encoder"), ["a photo of a church", "a dog"]
    spec = SimpleNamespace(recipe={"model": "other"})
    study = SimpleNamespace(
        store=Store(tmp_path),
        protocol=SimpleNamespace(model=lambda asked: {row: spec}[asked]),
        model=lambda asked: {row: other}[asked],
        base=lambda: model,
    )
    moved = drift.readings(study, row, prompts)
    for prompt, value in moved.items():
        after, before = (one.encode_prompts([prompt]).flatten() for one in (other, model))
        assert value == pytest.approx(1 - float(after @ before / after.norm() / before.norm()), abs=1e-6)
    assert list(moved.index) == prompts and moved.max() > 0
    study.model = study.base = None
    assert drift.readings(study, row, prompts).equals(moved)
