"""Less at once where memory is short: pictures, latents, attacks. The same results in more time."""

import gc

import pytest
import torch
from diffusers import StableDiffusionPipeline

from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.microbatch import in_smaller_batches
from advunlearn_lib.diffusion.pictures import generate_pictures, target_latents
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.metrics.quality import measure_quality

TEXTS = ["a photo of a dog", "a cat at night", "an owl by monet", "a church", "a photo of a bus"]
PROMPTS = [EvaluationPrompt(text, seed) for seed, text in enumerate(TEXTS)]


class Memory:
    """A memory that holds ``room`` pictures, and what was asked of it."""

    def __init__(self, monkeypatch, model, room):
        self.sizes, plain = [], StableDiffusionPipeline.__call__

        def call(pipeline, **arguments):
            size = len(arguments["latents"])
            self.sizes.append(size)
            if size > room:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
            return plain(pipeline, **arguments)

        monkeypatch.setattr(StableDiffusionPipeline, "__call__", call)
        monkeypatch.setattr(model, "micro_batch", None)  # put back at the end


def never_right(images):
    return torch.zeros(len(images), dtype=torch.bool)


def test_as_many_seeds_and_guidance_scales_as_prompts(model, fast):
    with pytest.raises(UserError, match="2 prompts but 3 seeds"):
        model.generate(["church", "dog"], [1, 2, 3], fast)
    with pytest.raises(UserError, match="2 prompts but 1 seeds"):
        model.generate(model.encode_prompts(["church", "dog"]), [1], fast)
    with pytest.raises(UserError, match="2 prompts but 1 guidance scales"):
        model.generate(["church", "dog"], [1, 2], fast, guidance_scale=[5.0])


def test_a_unet_in_micro_batches_is_left_as_it_was(model, monkeypatch):
    """The UNet may be the user's own, and other models may share it."""
    monkeypatch.setattr(model, "micro_batch", 1)
    embeds = model.encode_prompts(["church", "dog"])
    for before in (False, True):
        if before:
            model.unet.enable_gradient_checkpointing()
        model.predict(model.noise([0, 1]), torch.tensor(500), embeds)
        assert model.unet.is_gradient_checkpointing is before
    model.unet.disable_gradient_checkpointing()


def test_pictures_are_made_in_micro_batches(model, fast, monkeypatch):
    scales = [5.0, 3.0, 5.0, 5.0, 5.0]  # one call takes one scale
    whole = model.generate(TEXTS, range(5), fast, guidance_scale=scales)
    memory = Memory(monkeypatch, model, room=2)
    model.micro_batch = 2
    done = []
    parts = model.generate(TEXTS, range(5), fast, guidance_scale=scales, callback=done.append)
    assert memory.sizes == [2, 2, 1] and done == [2, 4, 5]
    assert torch.allclose(parts, whole, atol=1e-4)


def test_latents_are_encoded_and_decoded_in_micro_batches(model, fast, monkeypatch):
    images = model.generate(TEXTS, range(5), fast)
    whole, vae, sizes = model.encode_images(images), model.pipeline.vae, []
    decoded = model.decode_latents(whole)
    for name in ("encode", "decode"):
        plain = getattr(vae, name)
        monkeypatch.setattr(vae, name, lambda z, plain=plain: sizes.append(len(z)) or plain(z))
    monkeypatch.setattr(model, "micro_batch", 2)
    assert torch.allclose(model.encode_images(images), whole, atol=1e-4) and sizes == [2, 2, 1]
    sizes.clear()
    assert torch.allclose(model.decode_latents(whole), decoded, atol=1e-4) and sizes == [2, 2, 1]


def test_work_is_done_again_with_half_as_much(model, monkeypatch):
    tried = []

    def work():
        tried.append(model.micro_batch)
        if (model.micro_batch or 99) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return "done"

    monkeypatch.setattr(model, "micro_batch", None)
    assert in_smaller_batches(work, model, 12) == "done" and tried == [None, 12, 6, 3, 1]


def test_what_fits_is_not_held_up_by_a_garbage_collection(model, monkeypatch):
    collected = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(1))
    assert in_smaller_batches(lambda: "done", model, 12) == "done" and collected == []


def test_another_error_is_not_taken_for_a_lack_of_memory(model):
    def work():
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        in_smaller_batches(work, model, 4)


@pytest.mark.parametrize("name", ["UnlearnDiffAtk", pytest.param("random", marks=pytest.mark.slow)])
def test_an_attack_goes_on_where_its_pictures_do_not_fit(model, fast, monkeypatch, name):
    def outcome():
        targets = target_latents(model, PROMPTS, fast, 5)
        run = ATTACKS[name](model, never_right, Budget(timesteps=2, steps=1), fast, seed=4, batch=5)
        return run.run(PROMPTS, targets)

    whole = outcome()
    memory = Memory(monkeypatch, model, room=2)
    assert outcome() == whole
    assert 5 in memory.sizes and memory.sizes.count(2) > 5 and model.micro_batch == 2


def test_target_latents_in_a_small_memory_are_the_same(model, fast, monkeypatch):
    whole = target_latents(model, PROMPTS, fast, 3)
    memory = Memory(monkeypatch, model, room=1)
    assert torch.allclose(target_latents(model, PROMPTS, fast, 3), whole, atol=1e-3)
    assert memory.sizes == [3, 3, 1, 1, 1, 1, 1]  # what is made stays


def test_memory_for_not_even_one_picture_is_one_line(model, fast, monkeypatch):
    Memory(monkeypatch, model, room=0)
    with pytest.raises(UserError, match="out of memory even with one sample at a time") as error:
        target_latents(model, PROMPTS, fast, 3)
    assert "\n" not in str(error.value)


def test_quality_is_measured_in_a_small_memory(model, clip, monkeypatch):
    captions, sampling = (PROMPTS * 2)[:8], Sampling("ddim", 1, 1.0)
    whole = measure_quality(model, captions, sampling, clip, batch=4)
    memory = Memory(monkeypatch, model, room=3)
    assert measure_quality(model, captions, sampling, clip, batch=4)["clip"].value == pytest.approx(
        whole["clip"].value, abs=1e-4
    )
    assert memory.sizes[:2] == [4, 4] and memory.sizes[2:] == [2] * 4


def test_a_prompts_own_guidance_scale_makes_its_picture(model, fast):
    prompts = [EvaluationPrompt("a church", 3), EvaluationPrompt("a church", 3, guidance_scale=1.5)]
    ours = generate_pictures(model, prompts, fast)
    for picture, scale in zip(ours, (5.0, 1.5)):
        alone = model.generate(["a church"], [3], Sampling("dpm++", 3, scale))[0]
        assert torch.allclose(picture, alone, atol=1e-4)
