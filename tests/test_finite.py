"""Weights that are not finite real numbers are refused on loading, in one line that names the tensor."""

import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.weights import load_part, save_part
from advunlearn_lib.profiles.pocket import POCKET

NAMES = {
    "text_encoder": "final_layer_norm.weight",
    "unet": "conv_out.weight",
    "vae": "decoder.conv_out.weight",
}
FAULTS = {"nan": "holds a NaN or an infinity", "-inf": "holds a NaN or an infinity", "1j": "is complex"}


def spoilt(folder, part, value):
    """The folder's weights with one number that is none, in a new file; its path."""
    (path,) = folder.glob("*.safetensors")
    state = load_file(path)
    (name,) = [name for name in state if name.endswith(NAMES[part])]
    tensor = state[name].to(torch.complex64) if "j" in value else state[name].clone()
    tensor.view(-1)[-1] = complex(value) if "j" in value else float(value)
    path.unlink()
    save_file(state | {name: tensor}, path, {"format": "pt"})
    return path


@pytest.mark.parametrize("value", list(FAULTS))
@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_a_part_is_refused_from_a_folder_a_file_and_a_pickle(model, tmp_path, part, value):
    save_part(getattr(model, part), tmp_path)
    assert load_part(tmp_path, model)[0] == part
    file = spoilt(tmp_path, part, value)
    pickle = tmp_path / "weights.pt"
    torch.save(load_file(file), pickle)
    for where in (tmp_path, file, pickle):
        with pytest.raises(
            UserError, match=f"{NAMES[part]} {FAULTS[value]} \\(allowed: finite real"
        ) as error:
            load_part(where, model)
        assert f"the weights '{where}':" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("value", list(FAULTS))
@pytest.mark.parametrize("part", list(NAMES))
def test_a_pipeline_is_refused(tmp_path, part, value):
    shutil.copytree(POCKET.base, tmp_path / "base", copy_function=os.symlink)
    spoilt(tmp_path / "base" / part, part, value)
    with pytest.raises(UserError, match=f"{NAMES[part]} {FAULTS[value]}"):
        load_model(tmp_path / "base")
