"""How the pocket model is trained: the loop, every stage small, the tokenizer."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import ResNetForImageClassification

from advunlearn_lib.base.paths import DATA
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.world.scenes import Dataset, render_scenes
from advunlearn_lib.world.things import OBJECTS
from tools.pocket_model import common, derived, networks, train
from tools.pocket_model.loop import Plan, fit, learning_rate
from tools.pocket_model.train_judge import spoil


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
    assert torch.equal(run(6, tmp_path / "b", fresh()).weight, whole.weight)  # to the same bytes


@pytest.mark.slow
def test_every_stage_trains_and_the_folder_is_a_pipeline(tmp_path, monkeypatch):
    for name, plan in common.PLANS.items():
        monkeypatch.setitem(common.PLANS, name, dataclasses.replace(plan, steps=2, batch=min(plan.batch, 16)))
    monkeypatch.setattr(derived, "COUNT", 96)
    folders = common.Folders(
        tmp_path / "pocket" / "v1-4", POCKET.sprites, tmp_path / "work", tmp_path / "log"
    )
    folders.work.mkdir()
    data: Dataset = render_scenes(POCKET.sprites, range(240), 0)
    for stage in train.STAGES.values():
        stage(data, folders)
    made, shipped = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "pocket", DATA / "pocket")
    )
    assert made == shipped
    pipeline = StableDiffusionPipeline.from_pretrained(folders.model)
    assert len(pipeline.tokenizer) == pipeline.text_encoder.config.vocab_size
    assert (
        len(
            pipeline.text_encoder(pipeline.tokenizer("x", return_tensors="pt").input_ids).last_hidden_state[0]
        )
        > 0
    )
    judge = ResNetForImageClassification.from_pretrained(tmp_path / "pocket" / "judge-object")
    assert list(judge.config.id2label.values()) == [*OBJECTS, "other"]
    assert not [file for file in (tmp_path / "pocket").rglob("*.json") if str(tmp_path) in file.read_text()]
    others = {"v1-5", *derived.LOOKS}
    assert {p.stem for p in folders.log.iterdir()} == (set(common.PLANS) - {"derived"}) | others
    for name in others:
        unet = UNet2DConditionModel.from_pretrained(tmp_path / "pocket" / name)
        assert not torch.equal(unet.conv_in.weight, pipeline.unet.conv_in.weight)


@torch.no_grad()
def test_spoilt_pictures_show_no_thing_in_four_ways():
    data = render_scenes(POCKET.sprites, range(8), 0)
    images = data.batch(np.arange(8))
    vae = AutoencoderKL.from_pretrained(DATA / "pocket" / "v1-4" / "vae").float()
    before, rng = images.clone(), np.random.default_rng(0)
    spoilt = spoil(vae, images, rng, torch.Generator().manual_seed(0))
    assert torch.equal(images, before) and spoilt.abs().max() <= 1
    assert torch.equal(spoilt[1], 0.5 * images[1] + 0.5 * images[0])  # two things, mixed
    assert torch.equal(spoilt[5], 0.5 * images[5] + 0.5 * images[4])
    for row in (2, 6):  # blurred: its 6 x 6 means are the picture's, its edges are gone
        assert spoilt[row].diff(dim=-1).abs().max() < 0.3 * images[row].diff(dim=-1).abs().max()
    decoded = vae(images[[0, 4]]).sample.clamp(-1, 1)
    assert (spoilt[[0, 4]] - images[[0, 4]]).abs().mean() > 3 * (decoded - images[[0, 4]]).abs().mean()
    assert (spoilt[[3, 7]] - images[[3, 7]]).abs().mean() > 0.1  # a background of its own


def test_group_norms_in_the_other_layout_change_nothing():
    torch.manual_seed(0)
    plain, quick = networks.build_latent_tower(), networks.build_latent_tower()
    quick.load_state_dict(plain.state_dict())
    common.channels_last(quick)
    latents = torch.randn(3, 4, 16, 16)
    assert torch.allclose(quick(latents), plain(latents), atol=1e-5)
    assert quick.state_dict().keys() == plain.state_dict().keys()


def test_looks_change_a_picture_and_stay_in_range():
    picture = render_scenes(POCKET.sprites, range(4), 0).images
    for _, look in derived.LOOKS.values():
        painted = derived.repaint(picture, look)
        assert painted.dtype == np.uint8 and painted.shape == picture.shape
        assert 5 < np.abs(painted.astype(float) - picture).mean() < 90


def test_tokenizers_keep_rare_words_in_pieces(model):
    rebuilt = networks.train_tokenizer(["a photo of a tench", "a weapon in the snow"] * 50)
    for tokenizer in (rebuilt, model.tokenizer):
        assert len(tokenizer.tokenize("tench")) >= 2 and len(tokenizer.tokenize("weapon")) >= 2
        assert tokenizer.decode(tokenizer("a tench").input_ids, skip_special_tokens=True).strip() == "a tench"
    assert (
        model.tokenizer.pad_token_id == model.tokenizer.eos_token_id == model.text_encoder.config.eos_token_id
    )
