"""Models, prompts and seconds of a study: made once, kept in the store, made again where damaged."""

import re

import pytest
import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.store import Store
from advunlearn_lib.execute.plan import Job, plan
from advunlearn_lib.experiment.attack_spec import JudgeSpec
from advunlearn_lib.experiment.cells import Cell, Row
from advunlearn_lib.experiment.picture_specs import KEPT
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.samples import read_samples
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


def damage(path, change):
    """Another content of a file of a cell, which may be linked or mapped into memory."""
    content = path.read_bytes()
    assert change(content) != content
    path.unlink()
    path.write_bytes(change(content))
    return path


def flip(content):
    """A bit of a number in the midst of the file."""
    half = len(content) // 2
    return content[:half] + bytes([content[half] ^ 64]) + content[half + 1 :]


@pytest.mark.parametrize(("name", "change"), [
    ("weights/diffusion_pytorch_model.safetensors", flip),
    ("weights/config.json", lambda text: text.replace(b'"norm_num_groups": 16', b'"norm_num_groups": 8')),
])  # fmt: skip
def test_damaged_weights_are_named_and_made_again(tmp_path, capsys, name, change):
    """Those that load are the dangerous ones."""
    store, row = Store(tmp_path), Row("nudity", "UCE")
    first = Study(load_profile("pocket", quick=True), store)
    made = first.model(row).unet
    damaged = damage(store.folder("erase", first.protocol.model(row).recipe) / name, change)
    again = Study(load_profile("pocket", quick=True), store).model(row).unet
    assert all(torch.equal(made.state_dict()[name], value) for name, value in again.state_dict().items())
    assert made.config.norm_num_groups == again.config.norm_num_groups
    assert f"the stored result {damaged} is damaged (" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "change"), [
    ("targets.safetensors", flip),
    ("result.json", lambda text: text.replace(b"church", b"chunch", 1)),
    ("result.json", lambda text: re.sub(rb'"exempt": false', b'"exempt": true', text, count=1)),
    ("result.json", lambda text: re.sub(rb'"seed": (\d)', rb'"seed": 1\1', text, count=1)),
])  # fmt: skip
def test_damaged_prompts_are_named_and_chosen_again(tmp_path, capsys, name, change):
    changes = {"prompts": 4, "sampling_steps": 2, "target_steps": 2, "select": False}
    study = Study(POCKET.model_copy(update=changes), Store(tmp_path))
    prompts, spec = study.prompts("Church"), study.protocol.prompts("Church")
    targets = study.targets(spec)
    damaged = damage(study.store.folder("prompts", spec.recipe) / name, change)
    again = Study(study.profile, study.store)
    assert again.prompts("Church") == prompts and torch.equal(targets, again.targets(spec))
    assert f"the stored result {damaged} is damaged (" in capsys.readouterr().out


def test_damaged_pictures_of_a_panel_are_drawn_again(tmp_path, capsys):
    study = Study(POCKET.model_copy(update={"sampling_steps": 2}), Store(tmp_path))
    drawing = Row("nudity", "SD v1.4"), ["a church", "a dog"], [1, 2]
    images = study.pictures(*drawing)
    damaged = damage(
        study.store.folder("panel", study.protocol.panel(*drawing).recipe) / "tensors.safetensors", flip
    )
    assert torch.equal(study.pictures(*drawing), images)
    assert f"the stored result {damaged} is damaged (" in capsys.readouterr().out


def test_what_the_judge_sees_of_a_panel_is_asked_once(tmp_path, monkeypatch):
    profile = POCKET.model_copy(update={"sampling_steps": 4})
    study = Study(profile, Store(tmp_path))
    drawing = Row("Church", "SD v1.4"), ["a church", "a dog"], [1, 2]
    judge = study.protocol.judge("Church").load(torch.device("cpu"))
    assert study.seen(*drawing) == judge(study.pictures(*drawing)).tolist() == [True, False]
    church = profile.concepts["Church"].model_copy(update={"threshold": 0.999999})
    strict = profile.model_copy(update={"concepts": profile.concepts | {"Church": church}})
    assert Study(strict, study.store).seen(*drawing) == [False, False]  # another judge
    monkeypatch.setattr(JudgeSpec, "load", None)
    assert Study(profile, study.store).seen(*drawing) == [True, False]


@pytest.mark.parametrize(("metric", "name", "change"), [
    ("asr", "result.json", lambda text: text.replace(b'"after": true', b'"after": false', 1)),
    ("fid", "result.json", lambda text: re.sub(rb'"low": (\d)', rb'"low": 1\1', text, count=1)),
    ("fid", KEPT, flip),
])  # fmt: skip
def test_a_damaged_number_is_to_be_measured_again(own_store, capsys, metric, name, change):
    """Before a table is made of it, or compared with another picture by picture."""
    study = Study(load_profile("pocket", quick=True), Store(own_store / "pocket"))
    cell = Cell(ESD, "UnlearnDiffAtk" if metric == "asr" else "", metric)
    job = Job(study.profile, study.protocol.cell(cell))
    assert plan([job], study.store) == [] and read_samples(study, cell)
    damaged = damage(study.store.folder(job.spec.KIND, job.spec.recipe) / name, change)
    assert read_samples(Study(study.profile, study.store), cell) is None
    assert f"the stored result {damaged} is damaged (" in capsys.readouterr().out
    assert plan([job], study.store) == [job]


def test_seconds_of_a_finished_training_load_no_model(own_store, monkeypatch):
    study = Study(load_profile("pocket", quick=True), Store(own_store / "pocket"))
    monkeypatch.setattr(Study, "base", None)
    assert study.seconds(ESD).value > 0


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
