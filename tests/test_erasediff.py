"""EraseDiff: its inner steps, the barrier they set, the multiplier that keeps to it, and what is logged."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tasks import FORGET, INSTEAD, RELABELLING, church, flat, generator

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.erasure import erasediff
from advunlearn_lib.erasure.erasediff import multiplier
from advunlearn_lib.erasure.loop import check_options, prepare, train

OPTIONS = RELABELLING | {"group": "full", "lr": 2e-4, "batch": 4}


def ed(model, **options):
    return prepare("erasediff", church(model), OPTIONS | options)


def test_the_multiplier_is_the_least_that_forgets():
    rng = np.random.default_rng(0)
    for barrier in (-3.0, 0.0, 5.0):
        remember, unlearn = ([torch.tensor(rng.normal(size=4))] for _ in range(2))
        ours = multiplier(remember, unlearn, barrier)
        grid = np.linspace(0, 20, 200_001)
        products = float((remember[0] * unlearn[0]).sum()) + grid * float(unlearn[0].square().sum())
        assert ours == pytest.approx(grid[products >= barrier].min(), abs=2e-4)


def test_the_gradient_is_the_weighted_sum(model):
    method = ed(model, quirks={"discarded_inner_loop"})
    method.backward(0, generator())
    ours = [p.grad for p in method.trained.values()]
    rng = generator()
    batch = method.sample_batch(rng)
    parts = [method.gradients(loss) for loss in (method.remain_loss(rng), method.forget_loss(batch))]
    # none shares its memory: they are added to in place
    assert len({g.data_ptr() for g in parts[0]}) == len(parts[0])
    assert all(torch.allclose(o, a + b, atol=1e-6) for o, a, b in zip(ours, *parts))
    assert method.numbers == {"lambda": 1.0}


def forget_loss(unet, model, batch):
    """|| eps(z_t, t, church) - sg[ eps(z_t, t, guitar) ] ||^2, one picture after the other."""
    total = 0.0
    for z, t, number in zip(batch.latents, batch.timesteps, batch.prompt, strict=True):
        concept, instead = (model.encode_prompts([texts[number]]) for texts in (FORGET, INSTEAD))
        with torch.no_grad():
            wanted = unet(z[None], t[None], instead).sample
        total = total + F.mse_loss(unet(z[None], t[None], concept).sample, wanted) / len(batch.latents)
    return total


def by_hand(model, method, batches, now, lr, adam):
    """l_f on ``now`` after a step on each of ``batches``: Adam's, written out, or plain ones."""
    unet = copy.deepcopy(model.unet).requires_grad_(True)
    weights = list(unet.parameters())
    first, second = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    for step, batch in enumerate(batches, start=1):
        gradients = torch.autograd.grad(forget_loss(unet, model, batch), weights, materialize_grads=True,
                                        allow_unused=True)  # fmt: skip
        with torch.no_grad():
            for w, g, m, v in zip(weights, gradients, first, second, strict=True):
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.999).add_(g**2, alpha=0.001)
                mean, square = m / (1 - 0.9**step), v / (1 - 0.999**step)
                w -= lr * (mean / (square.sqrt() + 1e-8) if adam else g)
    with torch.no_grad():
        return forget_loss(unet, model, now).item()


def test_the_inner_steps_are_adams_at_the_outer_rate(model):
    method = ed(model, inner_steps=3)
    method.now = method.sample_batch(generator(1))
    before = flat(method.model.unet.parameters())
    ours = method.inner(generator(2))
    rng = generator(2)
    batches = [method.sample_batch(rng) for _ in range(3)]
    reached, plain = (
        by_hand(model, method, batches, method.now, *how) for how in ((2e-4, True), (1e-5, False))
    )
    at_first = forget_loss(model.unet, model, method.now).item()
    assert ours == pytest.approx(reached, rel=1e-3)
    assert at_first - ours > 1e-4 and abs(at_first - plain) < 1e-5  # plain steps at 1e-5 reach nothing
    assert torch.equal(flat(method.model.unet.parameters()), before)
    assert all(parameter.grad is None for parameter in method.trained.values())


@pytest.mark.parametrize(("batch", "seed"), [
    (4, 1), *(pytest.param(*more, marks=pytest.mark.slow) for more in ((4, 3), (8, 1), (8, 3))),
])  # fmt: skip
def test_the_multiplier_is_positive_where_the_gradients_do_not_forget_by_themselves(
    model, monkeypatch, batch, seed
):
    wanted, barriers, plain = [], [], erasediff.multiplier

    def recorded(remember, unlearn, barrier):
        ours, theirs = flat(remember).double(), flat(unlearn).double()
        barriers.append(barrier)
        wanted.append(max(0.0, barrier - float(ours @ theirs)) / float(theirs @ theirs))
        return plain(remember, unlearn, barrier)

    monkeypatch.setattr(erasediff, "multiplier", recorded)
    options = {"iterations": 8, "inner_steps": 3, "batch": batch}  # the inner steps meet all forget prompts
    logged = train(ed(model, **options), seed=seed).numbers["lambda"]
    assert logged == pytest.approx(wanted, rel=1e-3, abs=1e-6) and len(logged) == 8
    assert min(barriers) > 0 and max(logged) > 0  # how often it is above zero depends on the draws


def test_multipliers_are_logged_and_survive_a_resume(model, tmp_path):
    options, path = {"iterations": 4, "inner_steps": 1, "group": "xattn"}, tmp_path / "checkpoint.safetensors"
    whole = train(ed(model, **options), seed=3)
    assert len(whole.numbers["lambda"]) == 4 and set(whole.numbers) == {"lambda"}
    method = ed(model, **options)
    plain = method.backward

    def stopping(iteration, rng):
        if iteration == 2:
            raise InterruptedError
        return plain(iteration, rng)

    method.backward = stopping
    with pytest.raises(InterruptedError):
        train(method, seed=3, path=path, save_every=-1)
    resumed = train(ed(model, **options), seed=3, path=path)
    assert resumed.numbers["lambda"] == pytest.approx(whole.numbers["lambda"], rel=1e-2, abs=1e-4)
    assert len(resumed.losses) == 4


def test_the_inner_rate_is_no_option_of_its_own():
    with pytest.raises(UserError, match="unknown option 'inner_lr'"):
        check_options("erasediff", {"inner_lr": 1e-5})


def test_a_pseudo_prompt_stands_in_for_the_surrogate(model):
    pseudo = "a photo of a penguin"
    method = prepare("erasediff", church(model), OPTIONS | {"pseudo": pseudo})
    assert torch.equal(method.surrogate_embeds, model.encode_prompts([pseudo] * len(FORGET)))
    assert torch.equal(ed(model).surrogate_embeds, model.encode_prompts(INSTEAD))
    with pytest.raises(UserError, match="EraseDiff needs a surrogate"):
        prepare("erasediff", church(model, surrogate=[]), OPTIONS)
