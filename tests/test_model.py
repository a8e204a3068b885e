import copy
import shutil

import pytest
import torch
from diffusers import DDIMScheduler
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
    assert model.encode(ids).shape == (1, 32, 128)


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


@pytest.fixture(scope="module")
def moved(model):
    """The model with a text encoder to which even the empty prompt means something else."""
    other = model.copy_of("text_encoder")
    with torch.no_grad():
        for parameter in other.text_encoder.encoder.layers[0].parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    return other


def by_pipeline(model, empty, texts, seeds):
    """Pictures by the plain pipeline, guided away from the embeddings ``empty`` [1, l, d]."""
    pipeline = copy.copy(model.pipeline)
    pipeline.scheduler = DDIMScheduler.from_config(model.scheduler.config, clip_sample=False)
    return pipeline(
        prompt_embeds=model.encode_prompts(texts),
        negative_prompt_embeds=empty.expand(len(texts), -1, -1),
        latents=model.noise(seeds),
        num_inference_steps=4,
        guidance_scale=5.0,
        output_type="pt",
    ).images


def test_guidance_points_away_from_its_own_or_the_originals_empty_prompt(model, moved):
    texts, seeds = ["a photo of a dog", "a church"], [3, 4]
    assert not torch.allclose(moved.unconditional(), model.unconditional(), atol=1e-2)
    ours = {
        whose: moved.generate(texts, seeds, Sampling("ddim", 4, 5.0, whose)) for whose in ("own", "original")
    }
    for whose, empty in (("own", moved.unconditional()), ("original", model.unconditional())):
        assert torch.allclose(ours[whose], by_pipeline(moved, empty, texts, seeds), atol=1e-4), whose
    assert not torch.allclose(ours["own"], ours["original"], atol=1e-2)
    assert torch.equal(moved.generate(texts, seeds, Sampling("ddim", 4, 5.0)), ours["own"])
    plain = [model.generate(texts, seeds, Sampling("ddim", 4, 5.0, whose)) for whose in ("own", "original")]
    assert torch.equal(*plain)  # a model that came from no other is its own original


def test_the_original_is_the_model_that_all_parts_came_from(model, moved):
    assert model.original is model and moved.original is model
    both = moved.with_parts(unet=copy.deepcopy(model.unet))
    assert both.original is model and both.text_encoder is moved.text_encoder
    again = both.copy_of("text_encoder").copy_of("unet")
    assert again.original is model
    ours = again.generate(["a church"], [3], Sampling("ddim", 2, 5.0, "original"))
    wanted = moved.generate(["a church"], [3], Sampling("ddim", 2, 5.0, "original"))
    assert torch.allclose(ours, wanted, atol=1e-5)


def test_prompt_embeddings_are_guided_likewise(model, moved):
    sampling = Sampling("ddim", 2, 5.0, "original")
    texts = moved.generate(["a church"], [3], sampling)
    assert torch.allclose(moved.generate(moved.encode_prompts(["a church"]), [3], sampling), texts, atol=1e-5)
