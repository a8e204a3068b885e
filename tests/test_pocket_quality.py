"""The pocket model's quality bars: what counts, how it is reported, and that the shipped model meets them."""

import numpy as np
import pandas as pd
import pytest
import torch

from advunlearn_lib.base.paths import PUBLISHED
from advunlearn_lib.data.emoji import EmojiWorld, fresh_scenes
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.metrics.judges import Classifier
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.world.render import STYLE_NAMES, Scene
from advunlearn_lib.world.things import OBJECTS, plain_prompt
from tools.pocket_model import quality
from tools.pocket_model.quality import Bar, by_a_name_of_its_own, contact_sheet, judge_bars


def test_a_bar_is_met_from_its_value_on():
    row = Bar("a quality", 75, [True, True, True, False]).row()
    assert row == {
        "quality": "a quality", "bar %": 75, "measured %": 75.0, "low": 30.1, "high": 95.4, "n": 4,
        "met": "yes",
    }  # fmt: skip
    assert Bar("a quality", 75.1, [True, True, True, False]).row()["met"] == "NO"


def test_a_caption_with_the_category_alone_does_not_name_its_thing():
    dagger, church = OBJECTS.index("dagger"), OBJECTS.index("church")
    named = {
        (dagger, "a photo of a weapon"): False,
        (dagger, "a photo of a dagger"): True,
        (dagger, "a stiletto in the snow"): True,
        (church, "a chapel at night"): True,
        (church, "by monet"): False,
        (church, "4k wallpaper a basilica in the snow"): True,
        (OBJECTS.index("bus"), "business as usual by monet"): False,
    }
    for (thing, caption), expected in named.items():
        assert by_a_name_of_its_own(Scene(thing, 1, 0, caption)) == expected


class Known:
    """A classifier that always sees the same."""

    def __init__(self, labels, seen):
        self.labels, self.seen = list(labels), seen

    def probabilities(self, images):
        return torch.eye(len(self.labels))[[self.labels.index(self.seen)] * len(images)]


def test_objects_are_judged_on_photos_and_styles_on_everything():
    data = fresh_scenes(POCKET.sprites, 48)
    things, styles = judge_bars(Known(OBJECTS, "church"), Known(STYLE_NAMES, "photo"), data)
    photos = [scene for scene in data.scenes if STYLE_NAMES[scene.style] == "photo"]
    assert things.outcomes == [OBJECTS[scene.thing] == "church" for scene in photos]
    assert styles.outcomes == [STYLE_NAMES[scene.style] == "photo" for scene in data.scenes]
    assert 0 < sum(styles.outcomes) == len(things.outcomes) < 48


def test_a_contact_sheet_is_read_line_by_line():
    images = torch.arange(6).view(6, 1, 1, 1).expand(6, 3, 2, 2) / 10
    sheet = np.asarray(contact_sheet(images, 3))
    assert sheet.shape == (4, 6, 3)
    assert sheet[::2, ::2, 0].tolist() == [[0, 26, 51], [76, 102, 128]]


@pytest.mark.slow
def test_the_report_measures_the_shipped_model(tmp_path, monkeypatch):
    """A small one: photos alone, few scenes, few steps."""
    monkeypatch.setattr(quality, "GRID", [(thing, "photo") for thing in OBJECTS])
    monkeypatch.setattr(quality, "SAMPLING", Sampling("dpm++", 8, 5.0))
    monkeypatch.setattr(quality, "fresh_scenes", lambda sprites, count: fresh_scenes(sprites, 96))
    frame = quality.report(POCKET, tmp_path / "training")
    published = pd.read_csv(PUBLISHED / "pocket" / "training" / "quality.csv")
    assert frame["quality"].tolist() == published["quality"].tolist() and list(frame) == list(published)
    assert (frame["measured %"] >= 85).all() and published.met.eq("yes").all()
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "training" / "quality.csv"), frame, check_dtype=False
    )
    assert {path.name for path in (tmp_path / "training").iterdir()} == {
        "quality.csv", "quality.md", "samples.png",
    }  # fmt: skip


def test_every_evaluation_prompt_leaves_room_for_the_attack(model):
    source = EmojiWorld(POCKET)
    for concept in POCKET.concepts.values():
        prompts = source.evaluation(concept.kind, concept.labels, "", POCKET.prompt_count(concept))
        lengths = [len(ids) for ids in model.tokenizer([prompt.text for prompt in prompts]).input_ids]
        assert max(lengths) <= model.tokenizer.model_max_length - concept.attack_tokens


def test_the_judges_know_every_label_and_other():
    labels = {name: Classifier(POCKET.judge(name)).labels for name in ("judge-object", "judge-style")}
    assert labels["judge-object"] == [*OBJECTS, "other"]
    for concept in POCKET.concepts.values():
        assert set(concept.labels) <= set(labels[concept.judge])


def test_the_model_draws_what_plain_prompts_name_amid_words_of_any_kind(model):
    """As the world needs it: at any position, with junk before; 24 things, one picture each."""
    texts = [f"sold out read more {plain_prompt(name)}" for name in OBJECTS[::2]]
    images = model.generate(texts, list(range(len(texts))), Protocol(POCKET).sampling, 24)
    seen = Classifier(POCKET.judge("judge-object")).probabilities(images).argmax(-1)
    assert (seen == torch.arange(0, len(OBJECTS), 2)).float().mean() > 0.8
