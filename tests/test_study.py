"""Models, prompts and seconds of a study: made once, kept in the store, made again where damaged."""

import pytest
import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.store import Store
from advunlearn_lib.experiment.attack_spec import JudgeSpec
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET

ESD = Row("nudity", "ESD", "UNet")


def test_seconds_of_a_cell_come_from_its_training(tmp_path):
    study = Study(POCKET, Store(tmp_path))
    study.store.cell("erase", study.protocol.model(ESD).recipe, lambda _: {"seconds": [1.0, 2.0, 3.0, 2.0]})
    study.model = lambda row: None
    estimate = study.estimate(Cell(ESD, "", "seconds_per_iteration"))
    assert estimate.value == 2 and 1 <= estimate.low < 2 < estimate.high <= 3 and estimate.n == 4


def test_damaged_weights_are_named_and_made_again(tmp_path, capsys):
    store, row = Store(tmp_path), Row("nudity", "UCE")
    first = Study(load_profile("pocket", quick=True), store)
    made = first.model(row).unet.state_dict()
    weights = next(
        (store.folder("erase", first.protocol.model(row).recipe) / "weights").glob("*.safetensors")
    )
    weights.unlink()  # the old file is mapped into memory
    weights.write_bytes(b"garbage")
    again = Study(load_profile("pocket", quick=True), store).model(row).unet.state_dict()
    assert all(torch.equal(made[name], value) for name, value in again.items())
    assert str(weights.parent.parent) in capsys.readouterr().out


def test_a_base_folder_may_be_a_unet_alone(tmp_path):
    study = Study(POCKET, Store(tmp_path))
    derived = study.base(POCKET.bases["SD v1.5"])
    assert derived.text_encoder is study.base().text_encoder and derived.unet is not study.base().unet


def test_weights_from_elsewhere_are_evaluated_instead(model, tmp_path):
    changed = model.copy_of("unet")
    with torch.no_grad():
        changed.unet.conv_in.bias.add_(1)
    torch.save(changed.unet.state_dict(), tmp_path / "ESD.pt")
    settings = load_profile("pocket", [f"checkpoint=nudity:ESD:UNet={tmp_path}/ESD.pt"])
    study = Study(settings, Store(tmp_path / "store"))
    assert torch.equal(study.model(ESD).unet.conv_in.bias, changed.unet.conv_in.bias)
    assert study.protocol.model(ESD).trained() is None
    assert study.protocol.attack(ESD, "none").key != Protocol(POCKET).attack(ESD, "none").key
    with pytest.raises(UserError, match="was not trained here"):
        study.seconds(ESD)
    with pytest.raises(UserError, match="--checkpoint takes 'concept:method:component=WHERE' or 'published'"):
        load_profile("pocket", ["checkpoint=ESD.pt"])


def test_prompts_too_long_to_attack_are_marked(tmp_path):
    changes = {"prompts": 4, "max_prompt_tokens": 8, "sampling_steps": 2, "select": False}
    study = Study(POCKET.model_copy(update=changes), Store(tmp_path))
    prompts = study.prompts("Church")
    lengths = [len(study.base().tokenizer(prompt.text).input_ids) for prompt in prompts]
    assert [prompt.exempt for prompt in prompts] == [length > 8 for length in lengths]
    assert len(set(lengths)) > 1


def test_a_model_that_hardly_shows_the_concept_is_refused(tmp_path, monkeypatch):
    """On prompts that the base model fails on, an attack would look stronger than it is."""
    study = Study(load_profile("pocket", quick=True), Store(tmp_path))
    seldom = lambda images: torch.arange(len(images)) % 10 == 0  # noqa: E731
    monkeypatch.setattr(JudgeSpec, "load", lambda self, device: seldom)
    with pytest.raises(UserError, match="on 3 of 24 prompts; 8 are needed"):
        study.prompts("Church")
