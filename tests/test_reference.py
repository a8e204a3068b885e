"""The library against plain re-implementations of the official algorithms (tests/reference), same draws, pocket model."""

import copy

import pytest
import torch
from reference import advunlearn as plain
from reference import attack as plain_attack
from reference import noise as plain_noise
from reference import text as plain_text

from advunlearn_lib.attacks.records import Budget, EvaluationPrompt
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.seeds import generator, prompt_seed
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.paths import run_path
from advunlearn_lib.erasure.task import Task

RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a bus"]
OPTIONS = {
    "iterations": 6, "lr": 1e-4, "batch": 1, "steps": 5, "guidance_scale": 3.0, "per_prompt": 3, "eta": 1.0,
    "attack_steps": 3, "attack_lr": 1e-2, "attack_tokens": 1, "warm_up": 0,
    "retain_weight": 0.3, "retain_batch": 2, "retain_per_prompt": 1,
}  # fmt: skip
OFFICIAL = ("word_count", "drop_last_update", "accumulate_gradients", "adam_attack")


def test_the_text_encoder_with_soft_tokens(model):
    ids = model.tokenize(["a photo of a church"])
    words = model.token_embeds(ids) + 0.05 * torch.randn(1, *ids.shape[1:], 128, generator=generator(0))
    ours = model.encode(ids, words)[0]
    assert torch.allclose(ours, plain_text.encode(model.text_encoder, ids[0], words[0]), atol=2e-5)


def test_the_sampling_path(model):
    noise, embeds, empty = model.noise([3]), model.encode_prompts(["a photo of a dog"]), model.unconditional()
    ours, _, _ = run_path(model, noise, embeds, empty, 10, 3.0, 10)
    theirs = plain_noise.ddim_states(model.unet, noise[0], embeds[0], empty[0], 10, 3.0, 10)
    assert all(torch.allclose(a[0], b, atol=1e-4) for a, b in zip(ours, theirs, strict=True))


def test_lms(model):
    ours = model.generate(["a photo of a dog"], [3], Sampling("lms", 12, 7.5))
    embeds, empty = model.encode_prompts(["a photo of a dog"])[0], model.unconditional()[0]
    latent = plain_noise.lms(model.unet, model.noise([3])[0], embeds, empty, 12, 7.5)
    assert torch.allclose(ours, model.decode_latents(latent[None].float()), atol=2e-3)


@pytest.mark.parametrize("layout", ["prefix", "suffix", "replace", "add"])
def test_erasing_loss_and_gradient_in_every_layout(model, layout):
    own = OPTIONS | {"iterations": 1, "layout": layout, "resample": True}
    method = prepare("advunlearn", Task(model, ["tench"], RETAIN), own)
    ours = method.loss(0, generator(7))
    ours.backward()
    text_encoder = copy.deepcopy(model.text_encoder).requires_grad_(True)
    reference = plain.Training(model.pipeline, text_encoder, "tench", RETAIN, OPTIONS, (), layout)
    theirs = reference.loss(0, generator(7))
    theirs.backward()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-4)
    gradients = dict(text_encoder.named_parameters())
    for name, parameter in method.trained.items():
        assert torch.allclose(parameter.grad, gradients[name].grad, atol=1e-5, rtol=1e-3), name


@pytest.mark.parametrize("quirks", [(), OFFICIAL[:1], OFFICIAL[1:2], OFFICIAL[2:3], OFFICIAL[3:], OFFICIAL])
@pytest.mark.parametrize("steps", [1, 4])
def test_the_inner_attack(model, quirks, steps):
    own = OPTIONS | {"attack_steps": steps, "quirks": set(quirks), "resample": True}
    method = prepare("advunlearn", Task(model, ["tench"], RETAIN), own)
    ours = method.attack(torch.tensor([1]), generator(5))[0]
    encoder = copy.deepcopy(model.text_encoder)
    reference = plain.Training(
        model.pipeline, encoder, "tench", RETAIN, OPTIONS | {"attack_steps": steps}, quirks
    )
    assert torch.allclose(ours, reference.attack(1, 0, generator(5)), atol=1e-5)


@pytest.mark.parametrize("quirks", [(), OFFICIAL])
def test_the_whole_training_loop(model, quirks):
    task = Task(model, ["tench"], RETAIN)
    ours = train(prepare("advunlearn", task, OPTIONS | {"quirks": set(quirks), "resample": True}), seed=2)
    text_encoder = copy.deepcopy(model.text_encoder)
    losses = plain.Training(model.pipeline, text_encoder, "tench", RETAIN, OPTIONS, quirks).run(2)
    assert ours.losses == pytest.approx(losses, rel=1e-3)
    pairs = zip(ours.model.text_encoder.parameters(), text_encoder.parameters(), strict=True)
    assert (
        max((a - b).abs().max().item() for a, b in pairs) < 1e-4
    )  # Adam steps by lr = 1e-4 even where g is noise


def attacked(model, name, original=None):
    """The text after each round of an attack on one prompt, and the search's end."""
    prompt = EvaluationPrompt("a photo of a church", 3)
    z0 = model.encode_images(model.generate([prompt.text], [prompt.seed], Sampling("dpm++", 6, 5.0)))
    budget = Budget(tokens=3, timesteps=3, steps=6)
    run = ATTACKS[name](model, lambda images: torch.zeros(len(images), dtype=torch.bool), budget,
                        Sampling("dpm++", 2, 5.0), seed=4, original=original or model)  # fmt: skip
    search, texts = run.search([prompt], z0), []
    for number in range(3):
        search.advance(number)
        texts += search.texts()
    other = plain_attack.Prompt(model.pipeline, prompt.text, z0[0], generator(prompt_seed(4, 3, prompt.text)))
    return texts, search.variable.detach()[0], other


TIMESTEPS = [10, 500, 990]


def test_unlearndiffatk(model):
    texts, p, other = attacked(model, "UnlearnDiffAtk")
    theirs, q = plain_attack.unlearndiffatk(other, TIMESTEPS, 6, 3, 0.01, 0.1)
    assert texts == theirs and torch.allclose(p, q, atol=1e-4)


def test_p4d(model):
    original = model.copy_of("text_encoder")
    with torch.no_grad():
        original.text_encoder.final_layer_norm.bias.add_(0.02)
    texts, e, other = attacked(model, "P4D", original)
    theirs, f = plain_attack.p4d(other, original.pipeline, TIMESTEPS, 6, 3, 0.01, 0.1)
    assert texts == theirs and torch.allclose(e, f, atol=1e-4)
