import shutil

import pytest
import torch
from transformers import CLIPTextModel

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.profiles.pocket import POCKET


def test_token_embeds_stand_in_for_ids(model):
    ids = model.tokenize(["a photo of a church", "tench"])
    rows = model.token_embeds(ids).requires_grad_(True)
    embeds = model.encode(ids, rows)
    assert torch.equal(embeds, model.encode(ids))
    embeds[0, 5].sum().backward()
    assert rows.grad[0, 5].abs().sum() > 0 and rows.grad[0, 6:].abs().sum() == 0  # causal


def test_hook_is_gone_after_an_error(model):
    ids = model.tokenize(["church"])
    with pytest.raises(Exception):  # noqa: B017, PT011
        model.encode(ids, torch.zeros(1, 5, 3))
    assert model.encode(ids).shape == (1, 24, 128)


def test_generation_does_not_depend_on_the_batch(model, fast):
    prompts, seeds = ["a photo of a dog", "a photo of a cat", "an owl by monet"], [5, 6, 7]
    whole = model.generate(prompts, seeds, fast)
    single = model.generate(prompts, seeds, fast, batch=1)
    assert whole.shape == (3, 3, 64, 64) and whole.min() >= 0 and whole.max() <= 1
    assert torch.allclose(whole, single, atol=1e-4)


def test_plain_diffusers_draws_the_same_picture(model):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(POCKET.base, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        "a photo of a dog",
        latents=model.noise([3]),
        num_inference_steps=4,
        guidance_scale=5.0,
        output_type="pt",
    ).images
    ours = model.generate(["a photo of a dog"], [3], Sampling("ddim", 4, 5.0))
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_vae_round_trip(model):
    images = model.generate(["a photo of a church"], [1], Sampling("dpm++", 4, 5.0))
    latents = model.encode_images(images)
    decoded = model.pipeline.vae.decode(latents / model.pipeline.vae.config.scaling_factor).sample / 2 + 0.5
    assert (decoded - images).abs().mean() < 0.06


def test_missing_and_damaged_models_are_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot load a text-to-image pipeline"):
        load_model(tmp_path)
    with pytest.raises(UserError) as error:
        load_model(tmp_path / "nothing")
    assert "\n" not in str(error.value)


def test_a_truncated_file_is_one_line(tmp_path):
    shutil.copytree(POCKET.base, tmp_path / "model")
    weights = tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match="cannot load") as error:
        load_model(tmp_path / "model")
    assert "\n" not in str(error.value)


def test_copies_share_the_rest(model):
    other = model.copy_of("text_encoder")
    assert other.unet is model.unet and other.text_encoder is not model.text_encoder
    assert isinstance(other.text_encoder, CLIPTextModel)
