"""The pocket model's world: objects, places, styles, captions, and the prompts that are made of them."""

import numpy as np
import pytest

from advunlearn_lib.data.emoji import EmojiWorld, evaluation_candidates, fresh_scenes, retain_set
from advunlearn_lib.profiles.pocket import POCKET, VEHICLES, WEAPONS
from advunlearn_lib.world import atlas, scenes
from advunlearn_lib.world.language import draw_scene
from advunlearn_lib.world.render import PAINT, PLACE_NAMES, STYLE_NAMES, render
from advunlearn_lib.world.scenes import render_scenes
from advunlearn_lib.world.things import OBJECTS, THINGS


@pytest.fixture(scope="module")
def sprites():
    return atlas.load(POCKET.sprites)


def test_the_world_has_what_the_paper_needs(sprites):
    assert len(OBJECTS) == len(set(OBJECTS)) == 48 and sprites.shape == (48, 3, 64, 64, 4)
    assert {"church", "parachute", "tench", "garbage truck"} <= set(OBJECTS) and "van gogh" in STYLE_NAMES
    assert sum(t.source == "coco" for t in THINGS) == 24 and sum(t.source == "imagenet" for t in THINGS) >= 13
    assert tuple(t.name for t in THINGS if t.category == "weapon") == WEAPONS
    assert tuple(t.name for t in THINGS if t.category == "vehicle") == VEHICLES
    assert sprites[..., 3].reshape(144, -1).max(-1).min() > 200  # no empty sprite


def test_scenes_are_a_function_of_seed_and_index(sprites):
    (one, first), (two, second) = draw_scene(sprites, 3, 7), draw_scene(sprites, 3, 7)
    assert np.array_equal(one, two) and first == second and one.shape == (64, 64, 3) and one.dtype == np.uint8
    assert not np.array_equal(one, draw_scene(sprites, 4, 7)[0])
    assert set(PAINT) == set(STYLE_NAMES)
    rng = np.random.default_rng(0)
    pictures = [
        render(sprites[0, 0], place, style, rng)
        for place in range(len(PLACE_NAMES))
        for style in range(len(STYLE_NAMES))
    ]
    assert all(picture.std() > 5 for picture in pictures)


def test_scenes_drawn_in_processes_are_the_same(monkeypatch):
    here = render_scenes(POCKET.sprites, range(4), 5)
    monkeypatch.setattr(scenes, "MANY", 0)
    there = render_scenes(POCKET.sprites, range(4), 5)
    assert np.array_equal(here.images, there.images) and here.scenes == there.scenes


def test_prompts_avoid_and_cover(model):
    kept = retain_set(VEHICLES)
    assert len(kept) == 24 - 7
    assert not any(name in prompt for prompt in kept for name in ("bus", "boat", "car"))
    prompts = evaluation_candidates("broad", WEAPONS, 60)
    assert len({p.text for p in prompts}) == 60 and len({p.seed for p in prompts}) == 60
    assert prompts == evaluation_candidates("broad", WEAPONS, 60)
    scenes = fresh_scenes(POCKET.sprites, 90, WEAPONS).scenes
    assert len(scenes) == 90 and {OBJECTS[scene.thing] for scene in scenes} == set(OBJECTS) - set(WEAPONS)
    assert max(len(ids) for ids in model.tokenizer([p.text for p in prompts]).input_ids) <= 32 - 5


def test_prompts_and_captions_of_a_style():
    prompts = evaluation_candidates("style", ["van gogh"], 60)
    assert len({prompt.text for prompt in prompts}) == 60
    assert all("van gogh" in prompt.text for prompt in prompts)
    scenes = fresh_scenes(POCKET.sprites, 60, ["van gogh"])
    assert len(scenes.images) == 60
    assert "van gogh" not in {STYLE_NAMES[scene.style] for scene in scenes.scenes}
    plain = fresh_scenes(POCKET.sprites, 60)
    assert "van gogh" in {STYLE_NAMES[scene.style] for scene in plain.scenes}


def test_captions_are_those_of_the_scenes_and_cost_no_picture(monkeypatch):
    avoid = ["van gogh", *VEHICLES]
    scenes = fresh_scenes(POCKET.sprites, 50, avoid).scenes
    monkeypatch.setattr("advunlearn_lib.world.language.render", None)
    texts, seeds = EmojiWorld(POCKET).captions(50, avoid)
    assert texts == [scene.caption for scene in scenes] and seeds == list(range(50))
