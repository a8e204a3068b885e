"""AC: an anchor in the style against the anchor, one template a picture; the start token learns nothing."""

import copy

import pytest
import torch
import torch.nn.functional as F
from tasks import PICTURE_OPTIONS, church, flat, generator

from advunlearn_lib.base.seeds import derived_seed
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.ac import OFFICIAL
from advunlearn_lib.erasure.loop import prepare, train

ANCHORS = ["a dog", "a bus at night", "a bed"]
TEMPLATES = ("{anchor} by {name}", "a painting of {anchor}", "{name}")
OPTIONS = PICTURE_OPTIONS | {"batch": 6, "per_prompt": 2, "sampling_steps": 1, "guidance_scale": 1.0}


def ac(model, **options):
    return prepare("ac", church(model, names=["monet"]), OPTIONS | {"anchors": ANCHORS} | options)


def draws(method, options, seed=5):
    """The batch of an iteration and the template of each picture."""
    rng = generator(seed)
    batch = method.anchor.sample_batch(options["batch"], rng)
    return batch, torch.randint(len(options["templates"]), batch.prompt.shape, generator=rng)


def test_the_loss_is_the_distance_to_the_answer_without_the_style(model):
    options = OPTIONS | {"templates": TEMPLATES}
    method = ac(model, **options)
    ours, total = method.loss(0, generator()), 0.0
    batch, template = draws(method, options)
    assert len(set(template.tolist())) > 1 and len(set(batch.prompt.tolist())) > 1
    for z, t, number, drawn in zip(batch.latents, batch.timesteps, batch.prompt, template, strict=True):
        anchor = ANCHORS[number]
        styled = TEMPLATES[drawn].format(anchor=anchor, name="monet")
        target, answer = (
            model.predict_noise(z[None], t[None], model.encode_prompts([text])) for text in (styled, anchor)
        )
        total += F.mse_loss(target, answer).item() / len(template)
    assert ours.item() == pytest.approx(total, rel=1e-4)


def test_the_answer_comes_from_the_network_in_training(model):
    method = ac(model, templates=("{anchor}",), batch=2)
    with torch.no_grad():
        for parameter in method.trained.values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator(1)))
    assert method.loss(0, generator()).item() < 1e-10  # the frozen network would answer differently


def test_pictures_are_of_the_anchors_and_two_in_three_prompts_begin_with_the_style(model, monkeypatch):
    made = []
    plain = type(model).generate
    monkeypatch.setattr(
        type(model), "generate", lambda self, texts, *rest: made.extend(texts) or plain(self, texts, *rest)
    )
    method = prepare("ac", church(model, names=["monet"], made={}), OPTIONS | {"anchors": ANCHORS})
    assert made == [anchor for anchor in ANCHORS for _ in range(2)]
    texts = [template.format(anchor="a dog", name="monet") for template in OFFICIAL]
    assert texts == ["a dog, in the style of monet", *["in monet's style, a dog"] * 2]
    assert torch.equal(method.target[0], model.encode_prompts(texts))
    unnamed = prepare("ac", church(model, names=[]), OPTIONS | {"anchors": ANCHORS, "templates": ("{name}",)})
    assert torch.equal(unnamed.target[0], model.encode_prompts(["church"]))


def test_pictures_are_mirrored_at_random(model):
    method = ac(model, sampling_steps=4)
    half = len(ANCHORS) * 2
    seeds, sampling = [derived_seed(2, number) for number in range(half)], Sampling("dpm++", 4, 1.0)
    images = model.generate([anchor for anchor in ANCHORS for _ in range(2)], seeds, sampling, 32)
    both = torch.cat([model.encode_images(one) for one in (images, images.flip(-1))])
    assert torch.allclose(method.anchor.latents, both, atol=1e-2)
    assert (both[:half] - both[half:]).abs().max() > 0.5
    assert method.anchor.prompt.tolist() == [0, 0, 1, 1, 2, 2] * 2
    drawn = method.anchor.sample_batch(200, generator())
    assert len(drawn.latents) == 200 and set(drawn.prompt.tolist()) == {0, 1, 2}


class KeptStart(torch.nn.Module):
    """A linear layer on tokens whose weight has no gradient from the first of them."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, tokens):
        start = F.linear(tokens[:, :1], self.weight.detach())
        return torch.cat([start, F.linear(tokens[:, 1:], self.weight)], 1)


def by_hand(model, method, options, detached):
    """The loss's gradients on a copy of the UNet, with or without that of the start token."""
    unet, layers = copy.deepcopy(model.unet), []
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            for part in ("to_k", "to_v"):
                weight = getattr(module, part).weight.requires_grad_(True)
                layers.append((f"{name}.{part}.weight", weight))
                if detached:
                    setattr(module, part, KeptStart(weight))
    batch, template = draws(method, options)
    texts = [
        options["templates"][drawn].format(anchor=ANCHORS[number], name="monet")
        for number, drawn in zip(batch.prompt, template, strict=True)
    ]
    styled = unet(batch.latents, batch.timesteps, model.encode_prompts(texts)).sample
    with torch.no_grad():
        plain = [ANCHORS[number] for number in batch.prompt]
        answer = model.unet(batch.latents, batch.timesteps, model.encode_prompts(plain)).sample
    gradients = torch.autograd.grad(F.mse_loss(styled, answer), [weight for _, weight in layers])
    return dict(zip((name for name, _ in layers), gradients, strict=True))


def test_keys_and_values_of_the_start_token_carry_no_gradient(model):
    options = OPTIONS | {"templates": TEMPLATES}
    method = ac(model, **options)
    method.backward(0, generator())
    wanted, whole = (by_hand(model, method, options, detached) for detached in (True, False))
    assert set(method.trained) == set(wanted)
    for name, parameter in method.trained.items():
        assert torch.allclose(parameter.grad, wanted[name], atol=1e-6, rtol=1e-3), name
    ours, others = (flat(gradients[name] for name in wanted) for gradients in (wanted, whole))
    assert (ours - others).norm() > 0.05 * others.norm()


def test_keys_and_values_are_plain_again_afterwards(model):
    method = ac(model, iterations=1, lr=1e-3)
    inside = [module for module in method.model.unet.modules() if module._forward_hooks]
    assert len(inside) == len(method.trained)
    train(method)
    assert not any(module._forward_hooks for module in method.model.unet.modules())
