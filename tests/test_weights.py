"""Weights of a part: what we write, others read; what others publish, we read whole or not at all."""

import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPTextModel

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.weights import load_part, save_part


def same(one, other):
    return all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_a_text_encoder_is_written_under_transformers_4_names(model, tmp_path):
    save_part(model.text_encoder, tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert all(name.startswith("text_model.") for name in file.keys())  # noqa: SIM118
    assert same(CLIPTextModel.from_pretrained(tmp_path), model.text_encoder)
    part, loaded = load_part(tmp_path, model)
    assert part == "text_encoder" and same(loaded, model.text_encoder)


def test_a_unet_round_trips(model, tmp_path):
    save_part(model.unet, tmp_path)
    part, loaded = load_part(tmp_path, model)
    assert part == "unet" and same(loaded, model.unet)


@pytest.mark.parametrize("prefix", ["", "text_encoder.text_model.", "module.text_encoder."])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_state_dicts_under_the_usual_prefixes(model, tmp_path, prefix, suffix):
    state = {prefix + name: weight.contiguous() for name, weight in model.text_encoder.state_dict().items()}
    path = tmp_path / f"AdvUnlearn{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": state | {f"{prefix}embeddings.position_ids": torch.arange(24)}}, path)
    else:
        save_file(state, path)
    part, loaded = load_part(path, model)
    assert part == "text_encoder" and same(loaded, model.text_encoder)


def test_weights_that_do_not_fit_are_listed(model, tmp_path):
    state = {name: weight.contiguous() for name, weight in model.unet.state_dict().items()}
    first = next(iter(state))
    save_file(
        {name: weight for name, weight in state.items() if name != first}, tmp_path / "less.safetensors"
    )
    with pytest.raises(UserError, match=f"do not fit this unet: 1 missing \\({first}\\)"):
        load_part(tmp_path / "less.safetensors", model)
    save_file(state | {"extra.weight": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(UserError, match=r"1 unexpected \(extra\.weight\)"):
        load_part(tmp_path / "more.safetensors", model)
    save_file(state | {first: torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="of another shape"):
        load_part(tmp_path / "other.safetensors", model)
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(UserError, match="no state dict"):
        load_part(tmp_path / "list.pt", model)


class Dangerous:
    def __reduce__(self):
        return print, ("this must not run",)


def test_a_pickle_that_would_run_code_is_refused(model, tmp_path, capsys):
    (tmp_path / "bad.pt").write_bytes(pickle.dumps(Dangerous()))
    with pytest.raises(UserError, match="cannot read the weights"):
        load_part(tmp_path / "bad.pt", model)
    assert "must not run" not in capsys.readouterr().out


def test_another_architecture_is_refused(model, tmp_path):
    config = type(model.text_encoder.config).from_dict(
        model.text_encoder.config.to_dict() | {"num_hidden_layers": 3}
    )
    save_part(CLIPTextModel(config), tmp_path / "small")
    with pytest.raises(UserError, match="do not fit this text_encoder"):
        load_part(tmp_path / "small", model)
    with pytest.raises(UserError, match="is no folder here, and no hub id"):
        load_part(tmp_path / "nothing" / "at" / "all", model)
