"""Weights of a part: what we write, others read; what others publish, we read whole or not at all."""

import pickle

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.diffusion.weights import load_part, locate, save_part


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
    assert str(ROOT) not in (tmp_path / "config.json").read_text()  # where the base was read from


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
    with pytest.raises(UserError, match="not a state dict"):
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
    with pytest.raises(UserError, match="is neither a folder nor a hub id"):
        load_part(tmp_path / "nothing" / "at" / "all", model)


def rewritten(folder, change):
    """The folder's weights, by ``change`` of their state dict."""
    (path,) = folder.glob("*.safetensors")
    save_file(change(load_file(path)), path, {"format": "pt"})
    return folder


@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_a_folder_with_a_tensor_less_or_more_is_refused_by_name(model, tmp_path, part):
    layers = {"text_encoder": "encoder.layers.3.mlp.fc1", "unet": "mid_block.resnets.0.conv1"}
    gone = f"{layers[part]}.weight"
    for name in ("less", "more"):
        save_part(getattr(model, part), tmp_path / name)
    less = rewritten(
        tmp_path / "less", lambda state: {k: v for k, v in state.items() if not k.endswith(gone)}
    )
    more = rewritten(tmp_path / "more", lambda state: state | {"encoder.layers.99.weight": torch.zeros(1)})
    with pytest.raises(UserError, match=f"{less}' do not fit this {part}: 1 missing \\({gone}\\)"):
        load_part(less, model, part)
    with pytest.raises(UserError, match=r"1 unexpected \(encoder\.layers\.99\.weight\)"):
        load_part(more, model, part)


def test_old_position_ids_are_no_weight(model, tmp_path):
    save_part(model.text_encoder, tmp_path)
    old = {"text_model.embeddings.position_ids": torch.arange(24)[None]}
    part, loaded = load_part(rewritten(tmp_path, lambda state: state | old), model)
    assert part == "text_encoder" and same(loaded, model.text_encoder)


def test_a_wider_text_encoder_is_refused_by_name(model, tmp_path):
    config = model.text_encoder.config.to_dict() | {"intermediate_size": 64}
    save_part(CLIPTextModel(type(model.text_encoder.config).from_dict(config)), tmp_path)
    with pytest.raises(UserError, match=r"36 of another shape") as error:
        load_part(tmp_path, model)
    assert "encoder.layers.0.mlp.fc1.weight (64, 128) instead of" in str(error.value)


def test_hub_ids_name_subfolders_and_revisions(model, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.chdir(tmp_path)
    online = {"local_files_only": False}
    assert locate("owner/name") == ("owner/name", {"revision": "main"} | online)
    assert locate("owner/name@v1") == ("owner/name", {"revision": "v1"} | online)
    one = {"revision": "main", "subfolder": "nudity_unlearned"}
    assert locate("owner/name/nudity_unlearned") == ("owner/name", one | online)
    deep = {"revision": "rev", "subfolder": "sub/folder"}
    assert locate("owner/name/sub/folder@rev") == ("owner/name", deep | online)
    save_part(model.text_encoder, tmp_path / "here" / "is" / "one")
    assert locate("here/is/one") == ("here/is/one", {"local_files_only": True})
    for neither in ("name", "name/", "./nothing", "/nothing/at/all", "~/nothing"):
        with pytest.raises(UserError, match=f"'{neither}' is neither a folder nor a hub id"):
            locate(neither)


def test_a_hub_repositorys_subfolder_is_read(model, tmp_path, monkeypatch):
    """A snapshot in the hub's cache layout, as a download leaves it; the hub itself is not asked."""
    hub, commit = tmp_path / "hub", "0123456789abcdef0123456789abcdef01234567"
    repository = hub / "models--owner--name"
    save_part(model.text_encoder, repository / "snapshots" / commit / "church" / "v2")
    (repository / "refs").mkdir()
    (repository / "refs" / "pinned").write_text(commit)
    for library in ("huggingface_hub.constants", "transformers.utils.hub", "huggingface_hub.file_download"):
        for name in ("HF_HUB_CACHE", "TRANSFORMERS_CACHE", "HUGGINGFACE_HUB_CACHE"):
            monkeypatch.setattr(f"{library}.{name}", str(hub), raising=False)
    part, loaded = load_part("owner/name/church/v2@pinned", model)
    assert part == "text_encoder" and same(loaded, model.text_encoder)
    with pytest.raises(UserError, match="cannot load a text encoder or UNet"):
        load_part("owner/name/church/v3@pinned", model)
