"""The baselines' formulas, each as its docstring shows it."""

import pytest
import torch
from tasks import CONCEPT, FORGET, PICTURE_OPTIONS, RELABELLING, church, flat, generator
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_cosine_with_hard_restarts_schedule_with_warmup

from advunlearn_lib.erasure.loop import prepare, train

SPM = {
    "steps": 8,
    "per_prompt": 6,
    "batch": 8,
    "lr": 2e-2,
    "anchor_batch": 1,
    "anchor_weight": 1.0,
    "eta": 3.0,
}


def test_fmn_loss_is_the_norm_of_the_concepts_attention(model):
    """In the prompts that are fed, which are other and more than those that name the concept."""
    method = prepare("fmn", church(model), PICTURE_OPTIONS | {"batch": 12})
    ours = method.loss(0, generator())
    batch = method.forget.sample_batch(12, generator())
    assert len(FORGET) > len(CONCEPT) and set(batch.prompt.tolist()) == set(range(len(FORGET)))
    (name,) = model.tokenizer("church", add_special_tokens=False).input_ids
    places = [(ids == name).nonzero().flatten().tolist() for ids in model.tokenize(FORGET)]
    assert places[:2] == [[5], [2]]  # start, an, image, of, a, church; start, a, church
    assert [row.nonzero().flatten().tolist() for row in method.positions] == places

    def attention(module, args, kwargs, output):
        query, words = module.to_q(args[0]), module.to_k(kwargs["encoder_hidden_states"])
        q, k = (x[0].unflatten(-1, (module.heads, -1)).transpose(0, 1) for x in (query, words))
        seen.append((module.scale * q @ k.transpose(-1, -2)).softmax(-1)[..., places[number]].flatten())

    layers = [module for key, module in model.unet.named_modules() if key.endswith("attn2")]
    hooks = [layer.register_forward_hook(attention, with_kwargs=True) for layer in layers]
    total = 0.0
    for z, t, number in zip(batch.latents, batch.timesteps, batch.prompt.tolist(), strict=True):
        seen = []
        model.predict_noise(z[None], t[None], model.encode_prompts([FORGET[number]]))
        total += torch.cat(seen).norm().item() / 12
    for hook in hooks:
        hook.remove()
    assert ours.item() == pytest.approx(total, rel=1e-4)
    padded = prepare("fmn", church(model), PICTURE_OPTIONS | {"quirks": {"padding_positions"}})
    assert padded.positions[0].sum() == 1 + model.tokenizer.model_max_length - 6


def test_spm_adapter_is_born_neutral_and_merged_in_the_end(model, fast):
    method = prepare("spm", church(model), SPM | {"iterations": 3, "rate_warm_up": 0})
    prompt = ["a photo of a church"]
    plain = model.generate(prompt, [0], fast)
    assert torch.allclose(method.model.generate(prompt, [0], fast), plain, atol=1e-5)
    assert all(min(p.shape[0], p.shape[1]) == 1 for p in method.trained.values())  # rank one
    erased = train(method).model
    assert erased.unet.state_dict().keys() == model.unet.state_dict().keys()  # a plain UNet again
    assert not torch.allclose(erased.generate(prompt, [0], fast), plain, atol=1e-4)


@pytest.mark.parametrize("quirks", [set(), {"guided_mask"}])
def test_salun_mask_is_the_top_share_of_the_gradient(model, quirks):
    method = prepare(
        "salun", church(model), RELABELLING | {"share": 0.3, "mask_batches": 1, "quirks": quirks}
    )
    batch = method.sample_batch(generator(0))
    losses = {"": method.denoising_loss(method.forget, batch), "guided_mask": method.guided_loss(batch)}
    gradients = {name: flat(method.gradients(loss)).abs() for name, loss in losses.items()}
    mask = flat(method.mask).bool()
    assert mask.float().mean().item() == pytest.approx(0.3, abs=1e-3)
    ours, other = (gradients.pop(next(iter(quirks), "")), *gradients.values())
    assert ours[mask].min() >= ours[~mask].max() and other[mask].min() < other[~mask].max()
    method.backward(0, generator())
    assert all(
        (p.grad[m == 0] == 0).all()
        for p, m in zip(method.trained.values(), method.mask)
        if p.grad is not None
    )


@pytest.mark.parametrize(("total", "rise", "cycles"), [(90, 15, 3), (20, 0, 1), (8, 20, 2)])
def test_spms_rate_warms_up_and_falls_in_cosines(model, total, rise, cycles):
    options = {"iterations": total, "rate_warm_up": rise, "rate_cycles": cycles, "per_prompt": 1, "steps": 2}
    method = prepare("spm", church(model), options)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], 1.0)
    theirs: LambdaLR = get_cosine_with_hard_restarts_schedule_with_warmup(optimizer, rise, total, cycles)
    for iteration in range(total):
        assert method.rate_factor(iteration) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9), iteration
        optimizer.step()
        theirs.step()


def test_spms_quirk_tells_another_timestep(model):
    steps, which = 7, torch.arange(12).repeat(10)
    options = {"steps": steps, "per_prompt": 6}
    method = prepare("spm", church(model), options | {"quirks": {"told_timestep"}})
    batch = method.sample_points(which, generator())
    step = torch.randint(1, steps, which.shape, generator=generator())
    assert set(step.tolist()) == set(range(1, steps))  # never the pure noise
    assert batch.timesteps.tolist() == [999 - 1000 * r // steps for r in step.tolist()]
    bank = method.bank.at(which, step)
    assert torch.equal(batch.latents, bank.latents) and (batch.timesteps - bank.timesteps).abs().min() > 0
    own = [CONCEPT[number] for number in which // 6]
    for texts, answer in (([""] * len(which), batch.eps_empty), (own, batch.eps_prompt)):
        with torch.no_grad():
            told = model.predict_noise(batch.latents, batch.timesteps, model.encode_prompts(texts))
        assert torch.allclose(told, answer, atol=1e-4)
    right = prepare("spm", church(model), options).sample_points(which, generator())
    assert torch.equal(right.timesteps, bank.timesteps) and torch.equal(right.eps_prompt, bank.eps_prompt)
