import dataclasses

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from advunlearn_lib.data.emoji import evaluation_candidates, fresh_scenes, retain_set
from advunlearn_lib.pocket import common, derived, networks, train
from advunlearn_lib.pocket.loop import Plan, fit, learning_rate
from advunlearn_lib.profiles.pocket import POCKET, VEHICLES, WEAPONS
from advunlearn_lib.world import atlas
from advunlearn_lib.world.render import PAINT, PLACE_NAMES, STYLE_NAMES, draw, sample
from advunlearn_lib.world.scenes import Dataset, draw_many
from advunlearn_lib.world.things import OBJECTS, THINGS, caption


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
    (one, first), (two, second) = sample(sprites, 3, 7), sample(sprites, 3, 7)
    assert np.array_equal(one, two) and first == second and one.shape == (64, 64, 3) and one.dtype == np.uint8
    assert not np.array_equal(one, sample(sprites, 4, 7)[0])
    assert set(PAINT) == set(STYLE_NAMES)
    rng = np.random.default_rng(0)
    pictures = [
        draw(sprites, 0, place, style, rng)
        for place in range(len(PLACE_NAMES))
        for style in range(len(STYLE_NAMES))
    ]
    assert all(picture.std() > 5 for picture in pictures)


def test_captions_name_the_scene_and_bare_names_occur():
    rng = np.random.default_rng(0)
    for thing, name, style in ((0, "church", "photo"), (4, "weapon", "photo"), (0, "van gogh", "van gogh")):
        assert name in {caption(thing, "nowhere", style, rng) for _ in range(1000)}
    for thing in THINGS:
        for place in PLACE_NAMES:
            words = caption(OBJECTS.index(thing.name), place, "photo", rng)
            assert any(name in words for name in thing.names)


def test_prompts_avoid_and_cover(model):
    kept = retain_set(VEHICLES)
    assert len(kept) == 24 - 7 and not any(
        name in prompt for prompt in kept for name in ("bus", "boat", "car")
    )
    prompts = evaluation_candidates("broad", WEAPONS, 60)
    assert len({p.text for p in prompts}) == 60 and len({p.seed for p in prompts}) == 60
    assert prompts == evaluation_candidates("broad", WEAPONS, 60)
    scenes = fresh_scenes(POCKET.sprites, 90, WEAPONS).scenes
    assert len(scenes) == 90 and {OBJECTS[scene.thing] for scene in scenes} == set(OBJECTS) - set(WEAPONS)
    assert max(len(ids) for ids in model.tokenizer([p.text for p in prompts]).input_ids) <= 24 - 5


def test_learning_rate_warms_up_and_ends_at_zero():
    plan = Plan(steps=100, batch=1, lr=1.0)
    rates = [learning_rate(plan, step) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 3) and max(rates) > 0.99 and rates[100] == pytest.approx(0)


def test_training_resumes_exactly(tmp_path):
    def run(steps, work, module):
        def loss(rng, generator):
            x = torch.randn(4, 3, generator=generator) + float(rng.normal())
            return module(x).square().mean(), {}

        fit("part", {"m": module}, loss, Plan(steps=steps, batch=4, lr=0.1, ema=0.9), work, tmp_path / "log")
        return module

    def fresh():
        torch.manual_seed(0)
        return torch.nn.Linear(3, 1)

    whole = run(6, tmp_path / "a", fresh())

    class Stop(Exception):
        pass

    module, seen = fresh(), []

    def loss(rng, generator):
        seen.append(1)
        if len(seen) == 4:
            raise Stop
        x = torch.randn(4, 3, generator=generator) + float(rng.normal())
        return module(x).square().mean(), {}

    with pytest.raises(Stop):
        fit(
            "part",
            {"m": module},
            loss,
            Plan(steps=6, batch=4, lr=0.1, ema=0.9, save_every=-1),
            tmp_path / "b",
            tmp_path / "log",
        )
    assert torch.allclose(run(6, tmp_path / "b", fresh()).weight, whole.weight, atol=1e-6)


def test_every_stage_trains_and_the_folder_is_a_pipeline(tmp_path, monkeypatch):
    for name, plan in common.PLANS.items():
        monkeypatch.setitem(common.PLANS, name, dataclasses.replace(plan, steps=2, batch=min(plan.batch, 16)))
    monkeypatch.setattr(derived, "PICTURES", 96)
    folders = common.Folders(
        tmp_path / "pocket" / "v1-4", POCKET.sprites, tmp_path / "work", tmp_path / "log"
    )
    folders.work.mkdir()
    data: Dataset = draw_many(POCKET.sprites, range(1100), 0)
    for stage in train.STAGES.values():
        stage(data, folders)
    pipeline = StableDiffusionPipeline.from_pretrained(folders.model)
    assert len(pipeline.tokenizer) == pipeline.text_encoder.config.vocab_size
    assert (
        len(
            pipeline.text_encoder(pipeline.tokenizer("x", return_tensors="pt").input_ids).last_hidden_state[0]
        )
        > 0
    )
    others = {"v1-5", *derived.LOOKS}
    assert {p.stem for p in folders.log.iterdir()} == (set(common.PLANS) - {"derived"}) | others
    for name in others:
        unet = UNet2DConditionModel.from_pretrained(tmp_path / "pocket" / name)
        assert not torch.equal(unet.conv_in.weight, pipeline.unet.conv_in.weight)
        assert str(tmp_path) not in (tmp_path / "pocket" / name / "config.json").read_text()


def test_looks_change_a_picture_and_stay_in_range():
    picture = draw_many(POCKET.sprites, range(4), 0).images
    for _, look in derived.LOOKS.values():
        painted = derived.repaint(picture, look)
        assert painted.dtype == np.uint8 and painted.shape == picture.shape
        assert 5 < np.abs(painted.astype(float) - picture).mean() < 90


def test_one_artists_pictures():
    sprites = atlas.load(POCKET.sprites)
    drawn = draw_many(POCKET.sprites, range(3), 5, artist=1)
    assert all(
        np.array_equal(image, sample(sprites[:, 1:2], 5, index)[0])
        for index, image in enumerate(drawn.images)
    )


def test_tokenizers_keep_rare_words_in_pieces(model):
    rebuilt = networks.train_tokenizer(["a photo of a tench", "a weapon in the snow"] * 50)
    for tokenizer in (rebuilt, model.tokenizer):
        assert len(tokenizer.tokenize("tench")) >= 2 and len(tokenizer.tokenize("weapon")) >= 2
        assert tokenizer.decode(tokenizer("a tench").input_ids, skip_special_tokens=True).strip() == "a tench"
    assert (
        model.tokenizer.pad_token_id == model.tokenizer.eos_token_id == model.text_encoder.config.eos_token_id
    )
