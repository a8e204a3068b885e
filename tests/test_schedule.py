"""The noise a model was trained on, whichever scheduler its folder names, and what its UNet predicts."""

import inspect

import numpy as np
import pytest
import torch
from diffusers import schedulers

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.bank import Bank, Resampler, ddim, run_path

LATENTS_ARE_NO_PIXELS = ("clip_sample", "clip_sample_range", "thresholding", "sample_max_value")
ZERO_SNR = {
    "rescale_betas_zero_snr": True,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}


def classes():
    """Every scheduler class of diffusers that is told a schedule of betas."""
    values = (getattr(schedulers, name) for name in dir(schedulers))
    kinds = [value for value in values if isinstance(value, type)]
    return [kind for kind in kinds if "beta_schedule" in inspect.signature(kind.__init__).parameters]


USUAL = ("DDIM", "DDPM", "PNDM", "EulerDiscrete", "EulerAncestralDiscrete", "LMSDiscrete")
NAMED = {f"{name}Scheduler" for name in USUAL}
KINDS = [
    kind if kind.__name__ in NAMED | {"UnCLIPScheduler"} else pytest.param(kind, marks=pytest.mark.slow)
    for kind in classes()
]  # those of the published models, and the one with a schedule of its own; all others are slow


def with_scheduler(model, scheduler):
    """The pocket model as if its folder named ``scheduler``."""
    parts = dict(model.pipeline.components) | {"scheduler": scheduler}
    return LatentDiffusion(type(model.pipeline)(**parts, requires_safety_checker=False))


def named(kind, model, left_out=(), **changes):
    """``kind`` on the pocket model's configuration, silent about ``left_out``."""
    own = {name: value for name, value in model.scheduler.config.items() if name not in left_out}
    if kind.__name__ == "UnCLIPScheduler":  # the one schedule it knows
        changes |= {"beta_schedule": "squaredcos_cap_v2"}
    return kind.from_config(own, **changes)


def signal_shares(schedule):
    """abar_t of Stable Diffusion's betas, or of the cosine's, from their definitions."""
    if schedule == "squaredcos_cap_v2":
        t = np.arange(1001) / 1000
        bars = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - bars[1:] / bars[:-1], 0.999)
    else:
        betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    return torch.from_numpy(np.cumprod(1 - betas)).float()


def test_diffusers_schedulers_are_found():
    found = {kind.__name__ for kind in classes()}
    assert len(found) >= 20
    assert found >= NAMED


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_noise_is_added_by_the_training_schedule_of_any_scheduler(model, kind):
    scheduler = named(kind, model)
    other, shares = with_scheduler(model, scheduler), signal_shares(scheduler.config.beta_schedule)
    rng = torch.Generator().manual_seed(0)
    z0, noise = torch.randn(2, 64, 4, 8, 8, generator=rng)
    for timestep in (0, 10, 500, 990):
        ours, share = other.add_noise(z0, noise, torch.full((64,), timestep)), shares[timestep]
        assert torch.allclose(ours, share**0.5 * z0 + (1 - share) ** 0.5 * noise, atol=1e-4), timestep
    assert ours.std().item() == pytest.approx(1, abs=0.02)


def test_noisy_latents_are_not_rounded(model):
    z0 = torch.ones(1, 4, 8, 8)
    noisy = model.add_noise(z0.half(), z0.half(), torch.tensor([500]))
    assert noisy.dtype == torch.float32
    assert torch.equal(noisy, model.add_noise(z0, z0, torch.tensor([500])))


def test_zero_terminal_snr_leaves_no_signal_at_the_end(model):
    kinds = [kind for kind in classes() if "rescale_betas_zero_snr" in inspect.signature(kind).parameters]
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    roots = np.cumprod(1 - betas) ** 0.5  # Lin et al. 2024, algorithm 1
    expected = torch.from_numpy(((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2).float()
    for kind in kinds:
        other = with_scheduler(model, named(kind, model, rescale_betas_zero_snr=True))
        assert torch.allclose(other.alphas_cumprod, expected, atol=1e-4), kind
        noise = torch.randn(1, 4, 8, 8)
        assert torch.equal(other.add_noise(torch.ones_like(noise), noise, torch.tensor([999])), noise), kind


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler"])
def test_a_schedule_without_betas_is_one_line(model, name):
    with pytest.raises(UserError, match=f"the scheduler '{name}' has no betas") as error:
        with_scheduler(model, getattr(schedulers, name)())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_ddim_draws_the_same_whatever_the_folder_names(model, kind):
    last = () if "set_alpha_to_one" in inspect.signature(kind).parameters else ("set_alpha_to_one",)
    scheduler = named(kind, model, (*LATENTS_ARE_NO_PIXELS, *last))
    plain = with_scheduler(model, schedulers.DDIMScheduler.from_config(
        model.scheduler.config, beta_schedule=scheduler.config.beta_schedule))  # fmt: skip
    other = with_scheduler(model, scheduler)
    ours, theirs = (
        run_path(m, 3 * m.noise([1]), m.encode_prompts(["church"]), m.unconditional(), 4, 3.0, 4)
        for m in (other, plain)
    )
    assert theirs[0][-1].abs().max() > 1.2  # there is something to clip
    for states, expected in zip(ours, theirs):
        assert torch.allclose(states, expected, atol=1e-4)
    pictures = [m.generate(["a church"], [1], Sampling("ddim", 3, 5.0)) for m in (other, plain)]
    assert torch.allclose(*pictures, atol=1e-4)


def told(model, kind, latents, eps, timesteps):
    """What a UNet of that type says where ``latents`` hold ``eps``: the definitions, solved for z_0."""
    share = signal_shares("scaled_linear")[timesteps].view(-1, 1, 1, 1)
    z0 = (latents - (1 - share) ** 0.5 * eps) / share**0.5
    return {"epsilon": eps, "v_prediction": share**0.5 * eps - (1 - share) ** 0.5 * z0, "sample": z0}[kind]


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("micro_batch", [None, 2])
def test_noise_comes_out_of_every_type_of_prediction(model, monkeypatch, kind, micro_batch):
    other = with_scheduler(model, named(schedulers.EulerDiscreteScheduler, model, prediction_type=kind))
    timesteps = torch.tensor([20, 400, 700])
    latents, eps = (torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    output = iter(told(other, kind, latents, eps, timesteps).split(micro_batch or 3))
    monkeypatch.setattr(other, "call_unet", lambda *_: next(output))
    monkeypatch.setattr(other, "micro_batch", micro_batch)
    ours = other.predict_noise(latents, timesteps, other.encode_prompts(["a church"] * 3))
    assert torch.allclose(ours, eps, atol=1e-4)


def test_an_unknown_type_of_prediction_is_refused(model):
    other = with_scheduler(model, named(schedulers.EulerDiscreteScheduler, model))
    other.scheduler.register_to_config(prediction_type="score")
    with pytest.raises(UserError, match="unknown prediction type 'score'"):
        other.predict_noise(other.noise([0]), torch.tensor(500), other.unconditional())


def test_a_path_of_a_zero_terminal_snr_model_is_the_schedulers_own(model):
    """At the last timestep z_t is noise alone: the UNet's v, not the noise in z_t, says where to go."""
    other = with_scheduler(model, named(schedulers.DDIMScheduler, model, **ZERO_SNR))
    start, embeds, empty = other.noise([3]), other.encode_prompts(["church"]), other.unconditional()
    states, empties, prompts = run_path(other, start, embeds, empty, 4, 3.0, 4)
    scheduler = schedulers.DDIMScheduler.from_config(other.scheduler.config)
    scheduler.set_timesteps(4)
    assert scheduler.timesteps[0] == 999
    latents = start
    for number, timestep in enumerate(scheduler.timesteps):
        assert torch.allclose(states[number], latents, atol=1e-4)
        with torch.no_grad():
            v_empty, v_prompt = (other.unet(latents, timestep, words).sample for words in (empty, embeds))
        share = other.alphas_cumprod[timestep]
        for v, eps in ((v_empty, empties[number]), (v_prompt, prompts[number])):
            assert torch.allclose(eps, share**0.5 * v + (1 - share) ** 0.5 * latents, atol=1e-4)
        latents = scheduler.step(v_empty + 3.0 * (v_prompt - v_empty), timestep, latents).prev_sample
    settings = (["church"], 1, 4, 3.0, 0)
    which, step = torch.zeros(4, dtype=torch.long), torch.arange(4)
    bank, reference = (kind(other, *settings).at(which, step) for kind in (Bank, Resampler))
    assert torch.equal(bank.timesteps, ddim(other, 4).timesteps)
    assert torch.allclose(bank.latents, reference.latents, atol=1e-2) and bank.latents.isfinite().all()
