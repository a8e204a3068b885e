"""The bars of the world: what counts as met, what is put before a prompt, a report of the shipped model."""

import numpy as np
import pytest

from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.compare import Difference
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.world.things import OBJECTS
from tools.pocket_model import world_bars
from tools.pocket_model.world_bars import (
    GIVES_WAY,
    WorldBar,
    erased_names,
    erased_unets,
    ordinary_words,
    other_concepts,
    share,
    with_words_before,
)


def test_a_bar_is_met_at_its_goal_from_the_side_it_says():
    half = Estimate(value=50, low=40, high=60, n=100)
    assert WorldBar("a", 50, half).row() == {
        "bar": "a", "goal": ">= 50", "value": 50, "low": 40, "high": 60, "met": "yes",
    }  # fmt: skip
    assert WorldBar("a", 50.1, half).row()["met"] == "NO"
    gain = Difference(10.04, 2, 18, "McNemar", 0.01)
    assert WorldBar("a", 10, gain, most=True).row()["met"] == "NO"
    assert WorldBar("a", 10.1, gain, most=True).row() | {"met": ""} == {
        "bar": "a", "goal": "<= 10.1", "value": 10.0, "low": 2, "high": 18, "met": "",
    }  # fmt: skip


def test_words_stand_before_the_prompt():
    rng = np.random.default_rng(0)
    texts = {with_words_before("a photo of a cat", ("one", "two"), 3, rng) for _ in range(50)}
    assert len(texts) == 8 and all(text.split()[3:] == ["a", "photo", "of", "a", "cat"] for text in texts)
    assert share([True, False, False, False]).value == 25


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """A study whose attacks and pictures are made up; what was asked of it."""
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path))
    asked = []
    shares = {"before": 0.25, "UnlearnDiffAtk": 0.75, "random": 0.5, "CCE": 0.6}

    def outcomes(study, row, attack, when="after"):
        asked.append((*row[:3], attack, when))
        return np.arange(60) < 60 * shares["before" if when == "before" else attack]

    def right(study, row, prompts, field):
        asked.append((*row[:3], field, list(prompts)))
        return [field == "object"] * len(prompts)

    def judge_prompts(model, judge, prompts, sampling, batch):
        import torch

        named = [prompt.text.split()[0] in study.protocol.concept("vehicle").labels for prompt in prompts]
        return torch.tensor(named)

    monkeypatch.setattr(world_bars, "outcomes", outcomes)
    monkeypatch.setattr(world_bars, "right", right)
    monkeypatch.setattr(world_bars, "judge_prompts", judge_prompts)
    study = Study(load_profile(quick=True))
    monkeypatch.setattr(study, "model", lambda row: None)

    def candidates(name):
        concept = study.protocol.concept(name)
        return study.protocol.source.evaluation(concept.kind, concept.labels, concept.prompts, 4)

    monkeypatch.setattr(study, "prompts", candidates)
    return study, asked


def test_every_bar_is_of_a_validation_concept(asked):
    study, calls = asked
    bars = erased_unets(study)
    assert [bar.measured.value for bar in bars] == pytest.approx([50, 25, 60, 50, 60, 50])
    assert [bar.goal for bar in bars] == [20, 10, 60, 15, 60, 15]
    assert {call[0] for call in calls} == {"vehicle", "guitar", "monet"} and {
        call[1:3] for call in calls
    } == {("ESD", "UNet")}
    assert set(GIVES_WAY) == {"broad", "object", "style"}


def test_all_objects_and_painters_are_asked_for(asked):
    study, calls = asked
    assert ordinary_words(study).measured.value == 50  # the made-up judge of styles is always wrong
    photos, paintings = calls[0][-1], calls[1][-1]
    assert [label for _, label in photos] == list(OBJECTS) * 2
    assert {label for _, label in paintings} == {"van gogh", "picasso", "monet", "warhol"}
    assert all(text.split()[5:7] == ["a", "photo"] for text, _ in photos)
    assert calls[0][1] == "SD v1.4"
    bar = other_concepts(study)
    assert bar.measured.n == 200 and not {"bus", "car"} & {label for _, label in calls[2][-1]}


def test_names_before_the_prompt_are_the_erased_ones(asked):
    bar = erased_names(asked[0])
    assert bar.most and bar.goal == 10
    assert bar.measured.value > 50  # the made-up judge sees every prompt that begins with such a name
