"""The loop that trains every method: it goes on where it stopped, in less memory, in half precision."""

import pytest
import torch
from tasks import ANCHORS, CHURCH, PICTURE_OPTIONS, RELABELLING, church, flat, task_on

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.profiles.pocket import POCKET

RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a bus", "a photo of a bed"]
SMALL = {"steps": 4, "per_prompt": 4, "iterations": 4, "batch": 8, "lr": 1e-4}
SIGNED = {"attack_step": "sign", "attack_lr": 1.25e-2}
ADVERSARIAL = SMALL | SIGNED | {"attack_steps": 2, "warm_up": 0, "retain_batch": 4}


@pytest.mark.parametrize(("component", "quirks"), [
    pytest.param("text_encoder", (), marks=pytest.mark.slow), ("unet", ()),
    ("text_encoder", ("separate_retain_step",)),
])  # fmt: skip
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(model, tmp_path, component, quirks):
    options = ADVERSARIAL | {"component": component, "lr": 1e-3, "init": "latest", "quirks": set(quirks)}
    options |= {"iterations": 3, "batch": 4}
    task = task_on(model, ["church"], RETAIN)
    whole = train(prepare("advunlearn", task, options), seed=3)

    class Stop(Exception):
        pass

    method, path = prepare("advunlearn", task, options), tmp_path / "checkpoint.safetensors"
    plain = method.loss

    def stopping(iteration, generator):
        if iteration == 2:
            raise Stop
        return plain(iteration, generator)

    method.loss = stopping
    with pytest.raises(Stop):
        train(method, seed=3, path=path, save_every=-1)
    resumed = train(prepare("advunlearn", task, options), seed=3, path=path)
    assert resumed.losses == pytest.approx(whole.losses, rel=1e-4)
    ours, theirs = (dict(getattr(e.model, component).named_parameters()) for e in (resumed, whole))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)


@pytest.mark.parametrize("method", ["advunlearn", "scissorhands"])
def test_where_memory_runs_out_micro_batches_give_the_same(model, method, monkeypatch):
    pictures = {"per_prompt": 2, "remain_per_prompt": 1, "sampling_steps": 2, "guidance_scale": 1.0}
    cut = pictures | {"batch": 4, "iterations": 1, "lr": 1e-4, "snip_batches": 2}
    options = ADVERSARIAL | {"iterations": 1, "batch": 4} if method == "advunlearn" else cut
    task = task_on(model, ["church"], RETAIN, ["a photo of a dog"])
    easy = prepare(method, task, options)
    whole, plain, sizes = train(easy, seed=3), LatentDiffusion.call_unet, set()

    def small_memory(self, latents, timesteps, prompt_embeds):
        if len(latents) > 1 and torch.is_grad_enabled():
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        sizes.add(len(latents))
        return plain(self, latents, timesteps, prompt_embeds)

    monkeypatch.setattr(LatentDiffusion, "call_unet", small_memory)
    monkeypatch.setattr(model, "micro_batch", None)  # put back at the end
    tight = prepare(method, task, options)
    erased = train(tight, seed=3)
    assert 1 in sizes and erased.losses == pytest.approx(whole.losses, rel=1e-4)
    ours, theirs = (
        torch.cat([p.grad.flatten() for p in one.trained.values() if p.grad is not None])
        for one in (tight, easy)
    )
    assert (ours - theirs).norm() < 1e-3 * theirs.norm()


def test_where_memory_runs_out_between_two_steps_the_first_is_not_done_again(model, monkeypatch):
    options = ADVERSARIAL | {"lr": 1e-3, "iterations": 3, "batch": 4, "quirks": {"separate_retain_step"}}
    task = task_on(model, ["church"], RETAIN)
    whole = train(prepare("advunlearn", task, options), seed=3)
    disturbed, calls = prepare("advunlearn", task, options), []
    plain = disturbed.retain_loss

    def retain_loss(iteration, generator):
        calls.append(iteration)
        if len(calls) == 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return plain(iteration, generator)

    monkeypatch.setattr(disturbed, "retain_loss", retain_loss)
    monkeypatch.setattr(model, "micro_batch", None)  # put back at the end
    erased = train(disturbed, seed=3)
    assert calls == [0, 1, 1, 2]
    assert erased.losses == pytest.approx(whole.losses, rel=1e-3) and len(erased.losses) == 3
    ours, theirs = (flat(one.model.text_encoder.parameters()) for one in (erased, whole))
    assert (ours - theirs).abs().max() < 1e-4


def test_memory_for_not_even_one_sample_is_one_line(model, monkeypatch):
    def no_memory(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")

    method = prepare("esd", task_on(model, ["church"]), SMALL)
    monkeypatch.setattr(LatentDiffusion, "call_unet", no_memory)
    with pytest.raises(UserError, match="out of memory even with one sample at a time"):
        train(method)


@pytest.mark.parametrize("name", ["esd", "advunlearn", "salun", "scissorhands"])
def test_a_loss_that_is_not_finite_ends_training_in_one_line(model, name):
    """A step of 1e6 throws the weights where the next loss is infinite or NaN."""
    usual = RELABELLING | ({"mask_batches": 1} if name == "salun" else {})
    options = {"esd": SMALL, "advunlearn": ADVERSARIAL}.get(name, usual)
    method = prepare(name, church(model), options | {"iterations": 4, "lr": 1e6, "component": "unet"})
    said = r"the loss is \S+ in iteration [234]: lower lr \(now 1e\+06\) or train in precision fp32"
    with pytest.raises(UserError, match=f"^{said}$"):
        train(method)


def steps_of(method, monkeypatch):
    """(norm of the gradient, learning rate) at each step of the optimiser that trains ``method``."""
    optimizer, seen = method.optimizer(), []
    plain = optimizer.step

    def step(*arguments):
        gradients = [p.grad for p in method.trained.values() if p.grad is not None]
        seen.append((flat(gradients).norm().item(), optimizer.param_groups[0]["lr"]))
        return plain(*arguments)

    monkeypatch.setattr(optimizer, "step", step)
    monkeypatch.setattr(method, "optimizer", lambda: optimizer)
    return seen


@pytest.mark.parametrize(("name", "clipped"), [("ac", True), ("fmn", True), ("esd", False), ("salun", False)])
@pytest.mark.parametrize("scale", [1e4, 1e-6])
def test_gradients_are_clipped_where_the_official_code_does(model, monkeypatch, name, clipped, scale):
    own = {
        "esd": SMALL,
        "salun": RELABELLING | {"mask_batches": 1},
        "ac": PICTURE_OPTIONS | {"anchors": ANCHORS},
    }
    own = own.get(name, PICTURE_OPTIONS)
    method = prepare(name, church(model), own | {"iterations": 2, "batch": 2, "lr": 1e-6})
    plain = method.loss
    monkeypatch.setattr(method, "loss", lambda *arguments: scale * plain(*arguments))
    seen = steps_of(method, monkeypatch)
    train(method)
    norms = [norm for norm, _ in seen]
    assert len(norms) == 2
    if scale < 1:
        assert max(norms) < 0.1  # what is small stays as it is
    elif clipped:
        assert norms == pytest.approx([1, 1], rel=1e-3)
    else:
        assert min(norms) > 10


def test_the_learning_rate_follows_the_method(model, monkeypatch):
    own = {"lr": 1e-3, "rate_warm_up": 2, "rate_cycles": 2, "batch": 1, "anchor_batch": 1, "iterations": 6}
    method = prepare("spm", church(model), SMALL | own)
    seen = steps_of(method, monkeypatch)
    train(method)
    assert [rate for _, rate in seen] == pytest.approx([0, 5e-4, 1e-3, 5e-4, 1e-3, 5e-4])
    steady = prepare("esd", church(model), SMALL | {"iterations": 3, "batch": 1})
    seen = steps_of(steady, monkeypatch)
    train(steady)
    assert [rate for _, rate in seen] == [SMALL["lr"]] * 3


def test_half_precision_trains_fp32_weights_and_agrees(model):
    half = load_model(POCKET.base, dtype=torch.bfloat16)
    # no attack, which follows signs, that rounding flips; and little work: not every processor has bf16
    options = ADVERSARIAL | {
        "iterations": 2,
        "attack_steps": 0,
        "steps": 2,
        "batch": 4,
        "retain_per_prompt": 1,
    }
    exact, rough = (
        train(prepare("advunlearn", task_on(one, ["church"], RETAIN), options), seed=3)
        for one in (model, half)
    )
    latents, timesteps, prompts = model.noise(range(4)), torch.tensor([50, 350, 650, 950]), [CHURCH] * 4
    with torch.no_grad():
        full, rounded = (
            one.predict_noise(latents, timesteps, one.encode_prompts(prompts)) for one in (model, half)
        )
    # a loss is a squared distance: its root moves by no more than this
    rounding = (full - rounded).square().mean().sqrt()
    assert 0 < rounding < 0.03
    assert all(abs(a**0.5 - b**0.5) < rounding for a, b in zip(exact.losses, rough.losses))
    assert {p.dtype for p in rough.model.text_encoder.parameters()} == {torch.float32}
    assert {p.dtype for p in rough.model.unet.parameters()} == {torch.float32}
