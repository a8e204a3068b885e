"""ScissorHands: where it cuts, how it heals, what it projects."""

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from tasks import FORGET, INSTEAD, PICTURE_OPTIONS, RELABELLING, REMAIN, church, flat, generator

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.scissorhands import LOCAL, ScissorHands, ScissorHandsOptions, project

OPTIONS = RELABELLING | {"snip_batches": 1, "sparsity": 0.99}


def sh(model, options=(), **changes):
    return prepare("scissorhands", church(model, **changes), OPTIONS | dict(options))


def test_it_cuts_the_most_sensitive_weights_and_projects(model):
    method = sh(model)
    cut = flat(method.cut)
    assert cut.float().mean().item() == pytest.approx(0.01, abs=1e-3)
    fresh = prepare("fmn", church(model), PICTURE_OPTIONS)  # the same weights, untouched
    loss = fresh.denoising_loss(fresh.forget, fresh.sample_batch(generator(0)))
    score = flat((g * p).abs() for g, p in zip(fresh.gradients(loss), fresh.trained.values()))
    assert score[cut].min() >= score[~cut].max()
    for (name, now), before, mask in zip(method.trained.items(), fresh.trained.values(), method.cut):
        assert torch.equal(now[~mask], before[~mask]), name

    g, h = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0])
    assert torch.allclose(project([g.clone()], [h])[0], torch.tensor([0.0, 2.0]))
    assert torch.equal(project([-g], [h])[0], -g)
    local = sh(model, {"quirks": {"self_attention_only"}})
    assert all(".attn1." in name for name, mask in zip(local.trained, local.cut) if mask.any())


@pytest.mark.parametrize("slope", [0.0, 5**0.5])
def test_values_drawn_anew_are_kaimings(model, slope):
    """Of a slope 0 for nudity, of sqrt 5 for objects, as in the official scripts."""
    method = sh(model, {"redraw_slope": slope, "sparsity": 0.5})
    shares = []
    for now, mask in zip(method.trained.values(), method.cut, strict=True):
        if now.ndim > 1 and mask.sum() > 1000:
            bound = (6 / ((1 + slope**2) * now[0].numel())) ** 0.5
            shares.append(now[mask].abs().max().item() / bound)
    assert len(shares) > 3 and max(shares) <= 1 + 1e-6 and min(shares) > 0.95


def test_the_guided_cut_is_by_the_guided_prediction(model):
    method = sh(model, {"guided_cut": True})
    fresh = prepare("fmn", church(model), PICTURE_OPTIONS)
    batch = fresh.sample_batch(generator(0))
    losses = []
    for z, noise, t, number in zip(batch.latents, batch.noise, batch.timesteps, batch.prompt, strict=True):
        both = model.encode_prompts([FORGET[number], ""])
        prompt, blank = (fresh.model.unet(z[None], t[None], c[None]).sample for c in both)
        losses.append(F.mse_loss((1 + 7.5) * prompt - 7.5 * blank, noise[None]))
    gradients = fresh.gradients(torch.stack(losses).mean())
    score = flat((g * p).abs() for g, p in zip(gradients, fresh.trained.values()))
    cut = flat(method.cut)
    assert cut.float().mean().item() == pytest.approx(0.01, abs=1e-3)
    assert score[cut].min() >= score[~cut].max() * (1 - 1e-4)
    assert not torch.equal(cut, flat(sh(model).cut))


def draws(method):
    """Remaining pictures, pictures of the concept, in the order of an iteration."""
    rng = generator()
    return method.remain.sample_batch(method.options.batch, rng), method.sample_batch(rng)


def denoising(unet, model, prompts, batch):
    """|| eps(z_t, t, prompt) - eps ||^2, one picture after the other."""
    total = 0.0
    for z, noise, t, number in zip(batch.latents, batch.noise, batch.timesteps, batch.prompt, strict=True):
        answer = unet(z[None], t[None], model.encode_prompts([prompts[number]])).sample
        total = total + F.mse_loss(answer, noise[None]) / len(batch.latents)
    return total


def test_on_objects_it_ascends_the_concepts_own_loss(model):
    beta = 0.3
    method = sh(model, {"heal": "ascend", "beta": beta, "quirks": {"no_projection"}}, surrogate=[])
    assert method.surrogate_embeds is None
    loss = method.backward(0, generator())
    remain, forget = draws(method)
    unet, weights = method.model.unet, list(method.trained.values())
    wanted = denoising(unet, model, REMAIN, remain) - beta * denoising(unet, model, FORGET, forget)
    gradients = torch.autograd.grad(wanted, weights, allow_unused=True, materialize_grads=True)
    assert loss == pytest.approx(wanted.item(), rel=1e-4)
    for (name, parameter), gradient in zip(method.trained.items(), gradients, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-5, rtol=1e-3), name


def test_on_nudity_it_relabels(model):
    method = sh(model, {"beta": 0.3, "quirks": {"no_projection"}})
    ours = method.backward(0, generator())
    remain, forget = draws(method)
    unet, total = method.model.unet, 0.0
    with torch.no_grad():
        for z, t, number in zip(forget.latents, forget.timesteps, forget.prompt, strict=True):
            both = model.encode_prompts([FORGET[number], INSTEAD[number]])
            total += F.mse_loss(*(unet(z[None], t[None], c[None]).sample for c in both))
        wanted = denoising(unet, model, REMAIN, remain) + 0.3 * total / len(forget.latents)
    assert ours == pytest.approx(wanted.item(), rel=1e-4)


@pytest.mark.parametrize("heal", ["relabel", "ascend"])
def test_no_healing_step_makes_the_concept_likelier(model, heal):
    method = sh(model, {"heal": heal, "beta": 0.0, "sparsity": 0.5})
    method.backward(0, generator())
    ours, rng = flat(p.grad for p in method.trained.values()), generator()
    method.remain.sample_batch(method.options.batch, rng)
    method.sample_batch(rng)
    memory = flat(method.gradients(method.denoising_loss(method.forget, method.sample_batch(rng))))
    assert (ours @ memory).abs() < 1e-3 * ours.norm() * memory.norm()


def test_a_surrogate_is_needed_only_to_relabel(model):
    needs = ScissorHands.needs
    assert needs(ScissorHandsOptions()) == ("remain_prompts", "surrogate")
    assert needs(ScissorHandsOptions(heal="ascend")) == ("remain_prompts",)
    for options in ({}, {"heal": "ascend"}):
        with pytest.raises(UserError, match="ScissorHands needs a retain set"):
            sh(model, options, retain_set=[], remain_prompts=[])
    with pytest.raises(UserError, match="ScissorHands needs a surrogate"):
        sh(model, {"heal": "relabel"}, surrogate=[])
    with pytest.raises(UserError, match=r"option heal=.descend."):
        sh(model, {"heal": "descend"})


def test_the_two_layers_of_the_quirk_on_stable_diffusions_own_architecture():
    with torch.device("meta"):  # UNet2DConditionModel's defaults are SD v1.x but for the text width
        unet = UNet2DConditionModel(cross_attention_dim=768)
    names = [name for name, _ in unet.named_parameters() if ".attn1." in name and name.startswith(LOCAL)]
    inside = "transformer_blocks.0.attn1"
    parts = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight", "to_out.0.bias")
    places = [f"up_blocks.{block}.attentions.1.{inside}" for block in (1, 2)]
    assert sorted(names) == sorted(f"{place}.{part}" for place in places for part in parts)
    widths = [unet.get_parameter(f"{place}.to_q.weight").shape for place in places]
    assert widths == [(1280, 1280), (640, 640)]  # CompVis' output_blocks.4 and .7


def test_the_quirk_cuts_in_two_layers_of_stable_diffusions_four_levels(model):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(  # narrow
        sample_size=8, block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=1,
        attention_head_dim=4, cross_attention_dim=128,
    )  # fmt: skip
    other = model.with_parts(unet=unet)
    options = {"sparsity": 0.1, "sampling_steps": 2, "guidance_scale": 1.0, "batch": 4}
    everywhere = sh(other, options)
    cut = {name for name, mask in zip(everywhere.trained, everywhere.cut) if mask.any()}
    assert any(name.startswith("up_blocks.3.") and ".attn1." in name for name in cut)
    assert any(name.startswith("up_blocks.1.attentions.0") and ".attn1." in name for name in cut)
    local = sh(other, options | {"quirks": {"self_attention_only"}})
    cut = {name for name, mask in zip(local.trained, local.cut) if mask.any()}
    assert cut and all(".attn1." in name for name in cut)
    layers = {name.split(".transformer_blocks")[0] for name in cut}
    assert layers == {"up_blocks.1.attentions.1", "up_blocks.2.attentions.1"}
    before = dict(unet.named_parameters())
    assert {name for name, now in local.trained.items() if not torch.equal(now, before[name])} == cut
