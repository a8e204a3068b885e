"""Each method's loss by central differences, in double precision on a tiny random model, against autograd.

What a loss takes as given (targets that a network answers without a gradient, what is detached, such as what
an attack found) stays as it was at the point where the derivative is taken.
"""

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from tasks import ANCHORS, PICTURE_OPTIONS, church, generator
from transformers import CLIPTextConfig, CLIPTextModel

from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.registry import METHODS

FEW = PICTURE_OPTIONS | {"per_prompt": 2, "sampling_steps": 2, "batch": 2}
RELABELLING = FEW | {"remain_per_prompt": 2}
PATHS = {"steps": 3, "per_prompt": 2, "batch": 2}
OPTIONS = {
    "esd": PATHS,
    "advunlearn": PATHS | {"attack_steps": 2, "warm_up": 0, "retain_batch": 2, "retain_per_prompt": 1},
    "ac": FEW | {"templates": ("a {name}",), "anchors": ANCHORS},
    "fmn": FEW,
    "spm": PATHS | {"anchor_batch": 1},
    "salun": RELABELLING | {"mask_batches": 1},
    "erasediff": RELABELLING | {"group": "full"},
    "scissorhands": RELABELLING | {"snip_batches": 1},
    "uce": {},  # a closed form: no loss
}
STEP, POINT = 1e-5, 0.02
PARTS = {  # those that put a gradient together from several losses
    "erasediff": ("remain_loss", "forget_loss"),
    "scissorhands": ("remain_loss", "forget_loss", "denoising_loss"),
}
CASES = [(name, part) for name in OPTIONS if name != "uce" for part in PARTS.get(name, ("loss",))]


@pytest.fixture
def tiny(model):
    """A model of every kind of layer, of 8 channels, of a test's own."""
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=len(model.tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=model.tokenizer.model_max_length,
        bos_token_id=model.tokenizer.bos_token_id, eos_token_id=model.tokenizer.eos_token_id,
        hidden_act="quick_gelu",
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, attention_head_dim=4, layers_per_block=1,
        cross_attention_dim=16, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=4,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, sample_size=16,
    )  # fmt: skip
    return LatentDiffusion(
        StableDiffusionPipeline(
            vae=vae, unet=unet, text_encoder=CLIPTextModel(text), tokenizer=model.tokenizer,
            scheduler=model.scheduler, safety_checker=None, feature_extractor=None,
            requires_safety_checker=False,
        )
    )  # fmt: skip


def in_double(thing, seen):
    """``thing`` with the floating-point tensors and modules that it holds in double precision."""
    if isinstance(thing, torch.Tensor):
        kept = isinstance(thing, torch.nn.Parameter) or not thing.is_floating_point()  # its module's
        return thing if kept else thing.double()
    if id(thing) in seen:
        return thing
    seen.add(id(thing))
    if isinstance(thing, torch.nn.Module):
        thing.double()
    elif isinstance(thing, StableDiffusionPipeline):
        for part in (thing.unet, thing.text_encoder):
            part.double()
    elif isinstance(thing, dict | list):
        for place, one in thing.items() if isinstance(thing, dict) else enumerate(thing):
            thing[place] = in_double(one, seen)
    elif type(thing).__module__.startswith("advunlearn_lib") and hasattr(thing, "__dict__"):
        for name, one in vars(thing).items():
            object.__setattr__(thing, name, in_double(one, seen))
    return thing


class Given:
    """What stays as it was: the values of the first call, in their order, for each later one."""

    def __init__(self, function):
        self.function, self.values, self.place = function, [], None

    def __call__(self, *arguments, **named):
        if self.place is None:
            self.values.append(self.function(*arguments, **named))
            return self.values[-1]
        self.place += 1
        return self.values[self.place - 1]


def loss_of(method, part):
    """A loss as a function of the trained parameters alone."""
    if part == "loss":
        return lambda: method.loss(3, generator())
    if part == "remain_loss":
        return lambda: method.remain_loss(generator())
    arguments = (method.forget,) if part == "denoising_loss" else ()
    return lambda: getattr(method, part)(*arguments, method.sample_batch(generator()))


@pytest.mark.parametrize(("name", "part"), CASES)
def test_the_gradient_is_the_derivative(tiny, monkeypatch, name, part):
    method = prepare(name, church(tiny), OPTIONS[name])
    plain = torch.Tensor.float
    monkeypatch.setattr(torch.Tensor, "float", lambda one: one if one.dtype == torch.float64 else plain(one))
    in_double(method, set())
    rng, trained = generator(1), list(method.trained.values())
    assert all(parameter.dtype == torch.float64 for parameter in trained)
    for parameter in trained:  # adapters begin at zero
        parameter.data += POINT * torch.randn(parameter.shape, generator=rng)
    given = [Given(torch.Tensor.detach), Given(method.model.predict)]
    predict = method.model.predict
    monkeypatch.setattr(torch.Tensor, "detach", lambda one: given[0](one))
    monkeypatch.setattr(
        method.model,
        "predict",
        lambda *of: predict(*of) if torch.is_grad_enabled() else given[1](*of),
        raising=False,
    )
    loss = loss_of(method, part)
    value = loss()
    gradients = method.gradients(value)
    direction = [torch.randn(parameter.shape, generator=rng).to(parameter) for parameter in trained]
    length = torch.stack([one.square().sum() for one in direction]).sum().sqrt()
    ends = []
    for sign in (1, -1):
        for one in given:
            one.place = 0
        for parameter, way in zip(trained, direction):
            parameter.data += sign * STEP * way / length
        ends.append(loss().item())
        for parameter, way in zip(trained, direction):
            parameter.data -= sign * STEP * way / length
    told = (ends[0] - ends[1]) / (2 * STEP)
    ours = sum((one * way).sum() for one, way in zip(gradients, direction)).item() / length.item()
    assert value.dtype == torch.float64 and abs(told) > 1e-9
    assert ours == pytest.approx(told, rel=1e-4)


def test_every_method_is_here():
    assert set(METHODS) == set(OPTIONS)
