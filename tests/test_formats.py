"""What people bring: each format loads, with these very weights."""

import copy
import json

import pytest
import torch
from safetensors.torch import save_file
from weight_files import ALPHA, CONFIG, RANK, adapter, added, original, same, scaled, some, weights

from advunlearn_lib.diffusion.single_file import unet_state
from advunlearn_lib.diffusion.weights import load_part


@pytest.fixture(scope="module")
def other(model):
    """The pocket model with another UNet."""
    return model.with_parts(unet=scaled(model.unet))


UNETS = {
    "state_dict beside an optimizer": lambda u, f: {"state_dict": u, "optimizer": {"lr": 1e-5}, "epoch": 3},
    "unet": lambda u, f: {"unet": u},
    "model beside a step": lambda u, f: {"model": u, "step": 7},
    "CompVis' names": lambda u, f: unet_state(f.unet),
    "CompVis' names without a prefix": lambda u, f: {
        name.removeprefix("model.diffusion_model."): weight for name, weight in unet_state(f.unet).items()
    },
}


@pytest.mark.parametrize("name", UNETS)
def test_a_whole_unet_loads(model, other, tmp_path, name):
    torch.save(UNETS[name](weights(other.unet), other), tmp_path / "unet.pt")
    part, loaded = load_part(tmp_path / "unet.pt", model)
    assert part == "unet" and same(loaded, weights(other.unet))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_other_precisions_are_read_into_fp32(model, other, tmp_path, dtype):
    rounded = {name: weight.to(dtype) for name, weight in weights(other.unet).items()}
    save_file(rounded, tmp_path / "unet.safetensors")
    _, loaded = load_part(tmp_path / "unet.safetensors", model)
    assert same(loaded, {name: weight.float() for name, weight in rounded.items()})


@pytest.mark.parametrize(("names", "words"), [
    ("diffusers", ("attn2.to_k.weight", "attn2.to_v.weight")),  # UCE
    ("diffusers", ("attn2.",)),  # ESD-x since 2025
    ("diffusers", (".proj", ".conv", "linear_", "to_", ".net.")),  # ESD-all: no norms
    ("CompVis", ("attn2.",)),
])  # fmt: skip
def test_a_part_of_a_unet_stands_on_the_base(model, other, tmp_path, capsys, names, words):
    trained, own = some(weights(other.unet), *words), weights(model.unet)
    save_file(
        trained if names == "diffusers" else some(unet_state(other.unet), *words), tmp_path / "a.safetensors"
    )
    part, loaded = load_part(tmp_path / "a.safetensors", model)
    assert part == "unet" and same(loaded, own | trained) and 0 < len(trained) < len(own)
    said = (
        f"{len(trained)} of the UNet's {len(own)} tensors; the other {len(own) - len(trained)} are the base's"
    )
    assert capsys.readouterr().err == f"{tmp_path / 'a.safetensors'}: {said}\n"


@pytest.mark.parametrize("changed", ["unet", "text_encoder"])
def test_of_a_whole_model_the_part_that_differs_is_taken(model, tmp_path, changed):
    """ESD's of 2023 hold the base's text encoder too; ours may hold the base's UNet."""
    erased = model.with_parts(**{changed: scaled(getattr(model, changed))})
    torch.save({"state_dict": original(erased, tmp_path) | {"betas": torch.ones(3)}}, tmp_path / "esd.pt")
    part, loaded = load_part(tmp_path / "esd.pt", model)
    assert part == changed and same(loaded, weights(getattr(erased, changed)))


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_folder_in_half_precision_alone_loads(model, tmp_path, part):
    copy.deepcopy(getattr(model, part)).half().save_pretrained(tmp_path / "half", variant="fp16")
    assert [*tmp_path.glob("half/*.fp16.safetensors")] and not [*tmp_path.glob("half/*model.safetensors")]
    found, loaded = load_part(tmp_path / "half", model)
    half = {name: weight.half().float() for name, weight in weights(getattr(model, part)).items()}
    assert found == part and same(loaded, half)


# -- adapters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("naming", "given"), [
    ("kohya", "file"), ("diffusers", "file"), ("diffusers", "folder"), ("peft", "file"), ("peft", "folder"),
])  # fmt: skip
def test_an_adapter_is_merged_into_the_unet(model, tmp_path, naming, given):
    before, (file, state, scale) = weights(model.unet), adapter(model, naming)
    save_file(state, tmp_path / file, {"format": "pt"})
    if naming == "peft":
        told = CONFIG | {"megatron_config": {"a": 1}, "megatron_core": "no_module"}  # which peft would import
        (tmp_path / "adapter_config.json").write_text(json.dumps(told))
    part, loaded = load_part(tmp_path / file if given == "file" else tmp_path, model)
    expected, own = added(model, scale), loaded.state_dict()
    assert part == "unet" and own.keys() == expected.keys()
    for name in own:
        torch.testing.assert_close(own[name], expected[name], rtol=1e-5, atol=1e-5)
    assert same(model.unet, before) and not hasattr(loaded, "peft_config")


def test_the_strength_that_diffusers_writes_beside_the_tensors_counts(model, tmp_path):
    """What else stands there is not taken: peft would import the module that megatron_core names."""
    file, state, _ = adapter(model, "diffusers")
    told = CONFIG | {"megatron_config": {"a": 1}, "megatron_core": "no_module"}
    told = {f"unet.{name}": value for name, value in told.items()}
    save_file(state, tmp_path / file, {"format": "pt", "lora_adapter_metadata": json.dumps(told)})
    _, loaded = load_part(tmp_path / file, model)
    torch.testing.assert_close(weights(loaded), added(model, ALPHA / RANK), rtol=1e-5, atol=1e-5)


# -- refusals ----------------------------------------------------------------------------------------------
