"""bf16 is what training computes in.

It starts from the fp32 weights, from wherever it is begun, and latents, targets and pictures are fp32.
"""

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from tasks import PICTURE_OPTIONS, church

from advunlearn_lib import api
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.main import main
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET

PATHS = {"steps": 4, "per_prompt": 2, "iterations": 2, "batch": 2, "lr": 1e-4}
RETAIN = ["a photo of a dog", "a photo of a cat"]


@pytest.fixture(scope="module")
def half():
    return load_model(POCKET.base, dtype=torch.bfloat16)


def rounded(tensor):
    """Would bf16 or fp16 hold it as well?"""
    return any(torch.equal(tensor.to(kind).float(), tensor) for kind in (torch.bfloat16, torch.float16))


def untouched(unet, model):
    """The weights that UCE leaves alone, which are not all of them, are the model's to the last bit."""
    before = model.unet.state_dict()
    edited = {name for name in before if ".attn2.to_k." in name or ".attn2.to_v." in name}
    assert any(not torch.equal(unet[name], before[name]) for name in edited)
    return all(torch.equal(unet[name], before[name]) for name in before.keys() - edited)


def test_a_model_that_trains_in_half_precision_has_fp32_weights(model, half):
    assert half.dtype == torch.bfloat16 and half.in_precision(torch.float32).dtype == torch.float32
    for ours, theirs in zip((half.unet, half.text_encoder, half.pipeline.vae),
                            (model.unet, model.text_encoder, model.pipeline.vae)):  # fmt: skip
        state = theirs.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())
    assert half.in_precision(torch.float32).unet is half.unet


def test_the_api_starts_from_the_weights_themselves(model, half):
    erased = api.erase(half, "church", "uce", "object", retain_set=RETAIN)
    assert erased.model.dtype == torch.bfloat16 and untouched(erased.model.unet.state_dict(), model)


def test_a_study_starts_from_the_weights_themselves(model, tmp_path):
    study = Study(load_profile("pocket", ["precision=bf16"], quick=True), Store(tmp_path))
    erased = study.model(Row("nudity", "UCE"))
    assert untouched(erased.unet.state_dict(), model) and erased.dtype == torch.float32


def test_the_command_line_starts_from_the_weights_themselves(model, tmp_path):
    (tmp_path / "retain.txt").write_text("\n".join(RETAIN))
    words = ["--base", POCKET.base, "--concept", "church", "--kind", "object", "--method", "uce"]
    words += ["--retain", str(tmp_path / "retain.txt"), "--precision", "bf16", "--out", str(tmp_path / "out")]
    assert main(["erase", *words]) == 0
    (file,) = (tmp_path / "out").glob("*.safetensors")
    assert untouched(load_file(file), model)


def test_what_is_not_trained_stays_as_it_was(model, half):
    """As it was loaded: training moves what it trains, from where it stood."""
    erased = train(prepare("esd", church(half), PATHS | {"group": "xattn"}), seed=1)
    before = model.unet.state_dict()
    moved = {n for n, value in erased.model.unet.state_dict().items() if not torch.equal(value, before[n])}
    assert moved and all(".attn2." in name for name in moved)


def test_paths_and_targets_are_fp32(half):
    bank = prepare("esd", church(half), PATHS).bank
    start = bank.at(torch.tensor([0]), torch.tensor([0]))
    assert torch.equal(start.latents, bank.start([0])[0])  # noise, to the last bit
    later = bank.at(torch.tensor([0, 1]), torch.tensor([2, 3]))
    assert not rounded(later.latents)
    assert {tensor.dtype for tensor in (later.latents, later.eps_empty, later.eps_prompt)} == {torch.float32}


def test_pictures_and_their_latents_are_fp32(model, half):
    sampling = Sampling("dpm++", 2, 3.0)
    both = [one.generate([RETAIN[0]], [0], sampling) for one in (model, half)]
    assert torch.equal(*both)
    latents = prepare("fmn", church(half), PICTURE_OPTIONS | {"sampling_steps": 2}).forget.latents
    assert latents.dtype == torch.float32 and not rounded(latents)


def test_weights_that_are_rounded_already_are_refused():
    pipeline = StableDiffusionPipeline.from_pretrained(POCKET.base, dtype=torch.bfloat16)
    with pytest.raises(UserError, match=r"^a UNet2DConditionModel in bfloat16: load weights in float32 \("):
        LatentDiffusion(pipeline)


@pytest.mark.parametrize("make", [
    lambda model: load_model(POCKET.base, dtype=torch.float16),
    lambda model: model.in_precision(torch.float16),
])  # fmt: skip
def test_another_precision_is_refused_in_one_line(model, make):
    """The API met a StopIteration for it."""
    with pytest.raises(UserError) as error:
        api.erasure_spec(make(model), "church")
    assert str(error.value) == "training does not compute in float16 (allowed: float32, bfloat16)"
