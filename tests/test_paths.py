import torch

from advunlearn_lib.erasure.paths import Bank, Resampler

SETTINGS = (["church", "a photo of a tench"], 2, 5, 3.0, 0)


def test_bank_equals_sampling_from_scratch(model):
    bank, reference = Bank(model, *SETTINGS, batch=3), Resampler(model, *SETTINGS)
    which, step = torch.tensor([0, 3, 2, 1]), torch.tensor([0, 4, 2, 3])
    ours, theirs = bank.at(which, step), reference.at(which, step)
    assert torch.equal(ours.timesteps, theirs.timesteps) and ours.prompt.tolist() == [0, 1, 1, 0]
    for field in ("latents", "eps_empty", "eps_prompt"):
        assert torch.allclose(getattr(ours, field), getattr(theirs, field), atol=1e-2), (
            field
        )  # the bank is fp16


def test_targets_are_the_frozen_predictions(model):
    bank = Bank(model, *SETTINGS)
    draw = bank.at(torch.tensor([1]), torch.tensor([2]))
    for prompt, eps in (("church", draw.eps_prompt), ("", draw.eps_empty)):
        with torch.no_grad():
            expected = model.predict_noise(draw.latents, draw.timesteps, model.encode_prompts([prompt]))
        assert torch.allclose(eps, expected, atol=1e-2)


def test_a_path_starts_from_noise_and_is_kept(model, tmp_path, generator):
    path = tmp_path / "bank.safetensors"
    bank = Bank(model, *SETTINGS, path=path)
    assert torch.allclose(bank.at(torch.tensor([0]), torch.tensor([0])).latents, model.noise([0]), atol=1e-2)
    again = Bank(model, *SETTINGS, path=path)
    one, two = bank.draw(6, torch.Generator().manual_seed(3)), again.draw(6, torch.Generator().manual_seed(3))
    assert torch.equal(one.latents, two.latents) and [p.name for p in tmp_path.glob("[!.]*")] == [path.name]
