"""The baselines' formulas, each as its docstring shows it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from advunlearn_lib.erasure.erasediff import multiplier
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.scissorhands import project
from advunlearn_lib.erasure.spm import generate_with_transport, transport
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.erasure.uce import edit

RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a bus", "a photo of a bed"]
PICTURES = {"per_prompt": 6, "retain_per_prompt": 2, "sampling_steps": 4, "guidance_scale": 5.0, "batch": 8}
SPM = {"steps": 8, "per_prompt": 6, "batch": 8, "lr": 2e-2, "anchors": 1, "anchor_weight": 1.0, "eta": 3.0}
ERASEDIFF = PICTURES | {"group": "full", "inner_lr": 1e-3}


def church(model, **extra):
    return Task(model, ["a photo of a church"], RETAIN, ["a photo of a guitar"], ["church"], **extra)


def generator(seed=5):
    return torch.Generator().manual_seed(seed)


def test_fmn_loss_is_the_norm_of_the_concepts_attention(model):
    method = prepare("fmn", church(model), PICTURES | {"batch": 2})
    ours = method.loss(0, generator())
    batch = method.forget.sample_batch(2, generator())
    assert method.positions[0].nonzero().flatten().tolist() == [5]  # start, a, photo, of, a, church

    def attention(module, args, kwargs, output):
        query, words = module.to_q(args[0]), module.to_k(kwargs["encoder_hidden_states"])
        q, k = (x[0].unflatten(-1, (module.heads, -1)).transpose(0, 1) for x in (query, words))
        seen.append((module.scale * q @ k.transpose(-1, -2)).softmax(-1)[..., 5].flatten())

    layers = [module for key, module in model.unet.named_modules() if key.endswith("attn2")]
    hooks = [layer.register_forward_hook(attention, with_kwargs=True) for layer in layers]
    embeds, total = model.encode_prompts(["a photo of a church"]), 0.0
    for row in range(2):
        seen = []
        model.predict_noise(batch.latents[row : row + 1], batch.timesteps[row : row + 1], embeds)
        total += torch.cat(seen).norm().item() / 2
    for hook in hooks:
        hook.remove()
    assert ours.item() == pytest.approx(total, rel=1e-4)
    padded = prepare("fmn", church(model), PICTURES | {"quirks": {"padding_positions"}})
    assert padded.positions[0].sum() == 1 + model.tokenizer.model_max_length - 6


def test_uce_solves_its_least_squares_problem():
    rng = torch.Generator().manual_seed(0)
    w, c, g, p = (torch.randn(shape, generator=rng).double() for shape in ((5, 7), (2, 7), (2, 7), (3, 7)))

    def objective(v):
        old = (w - v).square().sum() * 0.5
        return old + 2.0 * (c @ v.T - g @ w.T).square().sum() + 0.7 * (p @ v.T - p @ w.T).square().sum()

    solved = edit(w, c, g, p, 0.5, 2.0, 0.7).requires_grad_(True)
    (slope,) = torch.autograd.grad(objective(solved), solved)
    assert slope.abs().max() < 1e-9


def test_uce_tokens(model):
    last = prepare("uce", church(model), {}).tokens("a photo of a church")
    assert torch.equal(last, model.encode_prompts(["a photo of a church"])[0, 5:6])
    tail = prepare("uce", church(model), {"quirks": {"all_positions"}})
    assert len(tail.tokens("a photo of a church")) == model.tokenizer.model_max_length - 5
    assert len(tail.tokens("a photo of a church", whole=True)) == model.tokenizer.model_max_length


def test_ac_pulls_the_target_to_the_anchor(model):
    method = prepare("ac", church(model), PICTURES | {"batch": 3})
    ours = method.loss(0, generator())
    batch, total = method.anchor.sample_batch(3, generator()), 0.0
    for z, t in zip(batch.latents, batch.timesteps):
        target, anchor = (
            model.predict_noise(z[None], t[None], model.encode_prompts([text]))
            for text in ("a photo of a church", "a photo of a guitar")
        )
        total += F.mse_loss(target, anchor).item() / 3
    assert ours.item() == pytest.approx(total, rel=1e-4)


def test_spm_adapter_is_born_neutral_and_weighs_itself_by_the_prompt(model, fast, monkeypatch):
    options = SPM | {"merge": False, "iterations": 3}
    method = prepare("spm", church(model), options)
    prompt = ["a photo of a church"]
    plain = model.generate(prompt, [0], fast)
    assert torch.allclose(method.model.generate(prompt, [0], fast), plain, atol=1e-5)
    assert all(min(p.shape[0], p.shape[1]) == 1 for p in method.trained.values())  # rank one

    adapted = train(method).model
    weights = transport(model, "church", ["church", "a photo of a church", "a photo of a dog"])
    assert weights[0] == weights[1] == 1 and weights[2] < 1
    prompts = ["a photo of a dog", "a photo of a church"]
    together = generate_with_transport(adapted, "church", prompts, [1, 2], fast)
    alone = torch.cat(
        [generate_with_transport(adapted, "church", [p], [s], fast) for p, s in zip(prompts, (1, 2))]
    )
    assert torch.allclose(together, alone, atol=1e-4)
    monkeypatch.setattr(adapted, "micro_batch", 1)
    parts = generate_with_transport(adapted, "church", prompts, [1, 2], fast)
    assert torch.allclose(parts, together, atol=1e-4)
    full = adapted.generate(prompts, [1, 2], fast)
    assert torch.allclose(together[1], full[1], atol=1e-4) and not torch.allclose(
        together[0], full[0], atol=1e-4
    )


def test_salun_mask_is_the_top_share_of_the_gradient(model):
    method = prepare("salun", church(model), PICTURES | {"share": 0.3, "mask_batches": 1})
    loss = method.denoising_loss(method.forget, method.sample_batch(generator(0)))
    gradient = np.concatenate([g.abs().flatten().numpy() for g in method.gradients(loss)])
    mask = np.concatenate([m.flatten().numpy() for m in method.mask])
    assert mask.mean() == pytest.approx(0.3, abs=1e-3)
    assert gradient[mask == 1].min() >= gradient[mask == 0].max()
    method.backward(0, generator())
    assert all(
        (p.grad[m == 0] == 0).all()
        for p, m in zip(method.trained.values(), method.mask)
        if p.grad is not None
    )
    guided = prepare("salun", church(model), PICTURES | {"quirks": {"guided_mask"}})
    assert any(not torch.equal(a, b) for a, b in zip(guided.mask, method.mask))


def test_erasediff_multiplier_is_the_least_that_forgets():
    rng = np.random.default_rng(0)
    for barrier in (-3.0, 0.0, 5.0):
        remember, unlearn = ([torch.tensor(rng.normal(size=4))] for _ in range(2))
        ours = multiplier(remember, unlearn, barrier)
        grid = np.linspace(0, 20, 200_001)
        products = float((remember[0] * unlearn[0]).sum()) + grid * float(unlearn[0].square().sum())
        assert ours == pytest.approx(grid[products >= barrier].min(), abs=2e-4)


def test_erasediff_gradient_is_the_weighted_sum(model):
    method = prepare("erasediff", church(model), ERASEDIFF | {"quirks": {"discarded_inner_loop"}})
    method.backward(0, generator())
    ours = [p.grad for p in method.trained.values()]
    rng = generator()
    batch = method.sample_batch(rng)
    parts = [method.gradients(loss) for loss in (method.remain_loss(rng), method.forget_loss(batch))]
    assert len({g.data_ptr() for g in parts[0]}) == len(
        parts[0]
    )  # none shares its memory: they are added to in place
    assert all(torch.allclose(o, a + b, atol=1e-6) for o, a, b in zip(ours, *parts))
    weights = {name: value.clone() for name, value in method.model.unet.state_dict().items()}
    method.now = batch
    assert method.inner(generator(1)) > 0
    assert all(torch.equal(value, weights[name]) for name, value in method.model.unet.state_dict().items())


def test_scissorhands_cuts_the_most_sensitive_weights_and_projects(model):
    method = prepare("scissorhands", church(model), PICTURES | {"sparsity": 0.99, "snip_batches": 1})
    cut = torch.cat([mask.flatten() for mask in method.cut])
    assert cut.float().mean().item() == pytest.approx(0.01, abs=1e-3)
    fresh = prepare("fmn", church(model), PICTURES)  # the same weights, untouched
    loss = fresh.denoising_loss(fresh.forget, fresh.sample_batch(generator(0)))
    score = torch.cat(
        [(g * p).abs().flatten() for g, p in zip(fresh.gradients(loss), fresh.trained.values())]
    )
    assert score[cut].min() >= score[~cut].max()
    for (name, now), before, mask in zip(method.trained.items(), fresh.trained.values(), method.cut):
        assert torch.equal(now[~mask], before[~mask]), name

    g, h = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0])
    assert torch.allclose(project([g.clone()], [h])[0], torch.tensor([0.0, 2.0]))
    assert torch.equal(project([-g], [h])[0], -g)
    local = prepare("scissorhands", church(model), PICTURES | {"quirks": {"self_attention_only"}})
    assert all(".attn1." in name for name, mask in zip(local.trained, local.cut) if mask.any())
