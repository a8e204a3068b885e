import torch

from advunlearn_lib.base.store import Cache, Store
from advunlearn_lib.erasure.bank import Bank, Resampler

SETTINGS = (["church", "a photo of a tench"], 2, 5, 3.0, 0)


def test_bank_equals_sampling_from_scratch(model):
    bank, reference = Bank(model, *SETTINGS, batch=3), Resampler(model, *SETTINGS)
    which, step = torch.tensor([0, 3, 2, 1]), torch.tensor([0, 4, 2, 3])
    ours, theirs = bank.at(which, step), reference.at(which, step)
    assert torch.equal(ours.timesteps, theirs.timesteps) and ours.prompt.tolist() == [0, 1, 1, 0]
    for field in ("latents", "eps_empty", "eps_prompt"):  # the bank is fp16
        assert torch.allclose(getattr(ours, field), getattr(theirs, field), atol=1e-2), field


def test_targets_are_the_frozen_predictions(model):
    bank = Bank(model, *SETTINGS)
    batch = bank.at(torch.tensor([1]), torch.tensor([2]))
    for prompt, eps in (("church", batch.eps_prompt), ("", batch.eps_empty)):
        with torch.no_grad():
            expected = model.predict_noise(batch.latents, batch.timesteps, model.encode_prompts([prompt]))
        assert torch.allclose(eps, expected, atol=1e-2)


def test_a_path_starts_from_noise_and_is_kept(model, tmp_path, monkeypatch):
    cache = Cache(Store(tmp_path), {"base": "pocket"})
    bank = Bank(model, *SETTINGS, tensors=cache.tensors)
    assert torch.allclose(bank.at(torch.tensor([0]), torch.tensor([0])).latents, model.noise([0]), atol=1e-2)
    monkeypatch.setattr("advunlearn_lib.erasure.bank.run_path", None)  # nothing is sampled again
    again = Bank(model, *SETTINGS, tensors=cache.tensors)
    one, two = (made.sample_batch(6, torch.Generator().manual_seed(3)) for made in (bank, again))
    assert torch.equal(one.latents, two.latents)
    (kept,) = tmp_path.glob("[!.]*")
    assert kept.name.startswith("bank-")


def test_paths_of_a_prompt_are_drawn_from_its_own(model):
    bank = Resampler(model, ["church", "dog", "cat"], 4, 5, 3.0, 0)
    prompts = torch.tensor([2, 0, 2]).repeat(40)
    drawn = bank.paths_of(prompts, torch.Generator().manual_seed(1))
    assert torch.equal(bank.prompt_of(drawn), prompts)
    assert drawn.unique().tolist() == [0, 1, 2, 3, 8, 9, 10, 11] and len(bank) == 12
