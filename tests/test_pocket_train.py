"""``pocket-train`` writes into ``work/``; the shipped model is replaced when asked to, whole."""

import dataclasses
import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from advunlearn_lib.base.keys import fingerprint
from advunlearn_lib.base.paths import DATA, FIGURES
from advunlearn_lib.cli import pocket_train as command
from advunlearn_lib.cli.main import main
from advunlearn_lib.profiles.pocket import VEHICLES
from advunlearn_lib.world import things
from tools.pocket_model import common, train, training_set

PRESENT = sorted(
    path.relative_to(DATA / "pocket").as_posix() for path in (DATA / "pocket").rglob("*") if path.is_file()
)


def listing(*folders):
    """Every file with its size and time of writing."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work folder of this test's, for a training of two steps on a thousand pictures."""
    monkeypatch.setattr(command, "WORK", tmp_path / "work")
    for name, plan in common.PLANS.items():
        monkeypatch.setitem(common.PLANS, name, dataclasses.replace(plan, steps=2, batch=4))
    monkeypatch.setattr(training_set, "COUNT", 240)
    return tmp_path / "work"


def test_a_stage_writes_into_the_work_folder_alone(work, capsys):
    before = listing(DATA, FIGURES)
    assert main(["pocket-train", "--stage", "vae"]) == 0
    assert listing(DATA, FIGURES) == before
    made = work / "pocket" / "v1-4" / "vae" / "diffusion_pytorch_model.safetensors"
    shipped = DATA / "pocket" / "v1-4" / "vae" / made.name
    assert made.stat().st_size == shipped.stat().st_size and made.read_bytes() != shipped.read_bytes()
    for name in ("training/vae.jsonl", "training/curves.png", "vae.safetensors"):
        assert (work / name).is_file()  # logs; the checkpoint
    assert f"trained into {work}/pocket; pocket-train --install" in capsys.readouterr().out


def test_stages_of_a_group_run_side_by_side_and_the_groups_in_order(tmp_path, monkeypatch):
    """Stand-ins of a tenth of a second write when they began and ended; threads stand for processes."""
    monkeypatch.setattr(train, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    monkeypatch.setattr(train, "training_set", lambda *_: None)
    monkeypatch.setattr(train, "training_curves", lambda _: Figure())
    monkeypatch.setattr(train, "run_stage", note_stage)
    shipped = tmp_path / "shipped"
    monkeypatch.setattr(train, "SHIPPED", shipped)
    (shipped / "judge-object").mkdir(parents=True)
    folders = common.Folders(tmp_path / "pocket" / "v1-4", tmp_path, tmp_path, tmp_path)
    train.train(folders, ("clip", "judge", "unet", "unet_2", "vision", "derived"))
    assert (tmp_path / "pocket" / "judge-object").is_dir()  # what is not trained yet is the shipped one
    spans = {path.stem: path.read_text().split() for path in tmp_path.glob("*.span")}
    assert set(spans) == {"clip", "judge", "unet", "unet_2", "vision", "derived"}
    for before, after in pairwise([("clip", "judge"), ("unet",), ("unet_2", "vision"), ("derived",)]):
        assert max(float(spans[stage][1]) for stage in before) <= min(
            float(spans[stage][0]) for stage in after
        )
    for one, other in (("clip", "judge"), ("unet_2", "vision")):  # they overlap
        assert max(float(spans[stage][0]) for stage in (one, other)) < min(
            float(spans[stage][1]) for stage in (one, other)
        )


def note_stage(folders, stage):
    """What run_stage's place is taken by."""
    began = time.time()
    time.sleep(0.1)
    (folders.work / f"{stage}.span").write_text(f"{began} {time.time()}")


def test_a_part_that_has_just_begun_has_no_curve_yet(tmp_path):
    (tmp_path / "unet.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    (tmp_path / "vision.jsonl").touch()
    (axes,) = train.training_curves(tmp_path).axes
    assert axes.get_title() == "unet"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A trained model, and what it would replace: folders of this test's. Texts stand for weights."""
    trained, target, log = tmp_path / "work" / "pocket", tmp_path / "data" / "pocket", tmp_path / "published"
    for folder, text in ((trained, "new"), (target, "old")):
        for name in PRESENT:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    (tmp_path / "work" / "training").mkdir()
    for name in ("clip", "judge", "unet", "unet_2", "vision", "protogen"):
        (tmp_path / "work" / "training" / f"{name}.jsonl").write_text("new")
    (log / "training").mkdir(parents=True)
    (log / "training" / "quality.md").write_text("measured")
    monkeypatch.setattr(command, "WORK", tmp_path / "work")
    monkeypatch.setattr(command, "DATA", tmp_path / "data")
    monkeypatch.setattr(command, "published_folder", lambda profile: log)
    return trained, target, log / "training"


def test_install_replaces_the_shipped_model_and_its_logs(installed, capsys):
    trained, target, log = installed
    (target / "left over.txt").write_text("old")
    (trained / "left over.txt").write_text("new")
    assert main(["pocket-train", "--install"]) == 0
    assert {path.relative_to(target).as_posix() for path in listing(target)} == {*PRESENT, "left over.txt"}
    assert {path.read_text() for path in listing(target)} == {"new"}
    assert (log / "clip.jsonl").read_text() == "new" and (log / "quality.md").read_text() == "measured"
    assert [path.name for path in target.parent.iterdir()] == ["pocket"]  # no copies are left behind
    assert f"installed: {target}, logs in {log}" in capsys.readouterr().out


@pytest.mark.parametrize("missing", PRESENT)
def test_nothing_is_installed_before_every_file_is_there(installed, missing, capsys):
    trained, target, log = installed
    (trained / missing).unlink()
    before = listing(target, log)
    assert main(["pocket-train", "--install"]) == 2
    error = capsys.readouterr().err
    assert error == f"error: {trained} has no {missing} yet: let pocket-train finish first\n"
    assert listing(target, log) == before


@pytest.mark.parametrize("stage", ["judge", "unet_2", "vision", "derived"])
def test_nothing_is_installed_that_stands_on_what_was_trained_anew(installed, stage, capsys):
    trained, target, log = installed
    left = {"derived": "protogen"}.get(stage, stage)
    (trained.parent / "training" / f"{left}.jsonl").unlink()
    before = listing(target, log)
    assert main(["pocket-train", "--install"]) == 2 and listing(target, log) == before
    assert f"has no stage {stage} yet: let pocket-train finish first" in capsys.readouterr().err


def test_nothing_is_installed_where_nothing_was_trained(installed, capsys):
    trained, target, _ = installed
    shutil.rmtree(trained)
    before = listing(target)
    assert main(["pocket-train", "--install"]) == 2 and listing(target) == before
    assert re.fullmatch(r"error: .* has no .* yet: let pocket-train .*\n", capsys.readouterr().err)


def test_install_trains_nothing(installed, monkeypatch):
    def never(*_):
        raise AssertionError("trained")

    monkeypatch.setattr("advunlearn_lib.cli.pocket_train.train", never)
    assert main(["pocket-train", "--install"]) == 0


def test_a_model_without_a_concept_never_sees_it(work, capsys, monkeypatch):
    """Its training is told which pictures may be drawn; the shipped weights are not beside it."""
    monkeypatch.setattr(train, "ProcessPoolExecutor", lambda count, *_: ThreadPoolExecutor(count))
    assert main(["pocket-train", "--without", "weapon", "--without", "church"]) == 0
    folder = work / "without-church-weapon"
    assert f"trained into {folder}/v1-4, which has never seen: church, weapon" in capsys.readouterr().out
    assert sorted(path.stem for path in (folder / "training").glob("*.jsonl")) == ["clip", "unet", "unet_2"]
    finished = json.loads((folder / "training" / "finished.json").read_text())
    assert finished["without"] == ["church", "weapon"] and finished["commit"]
    assert finished["key"] == fingerprint(folder / "v1-4") != fingerprint(DATA / "pocket" / "v1-4")
    shipped = DATA / "pocket" / "v1-4"
    for part in ("text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors"):
        assert (folder / "v1-4" / part).read_bytes() != (shipped / part).read_bytes()
    vae = "vae/diffusion_pytorch_model.safetensors"
    assert (folder / "v1-4" / vae).read_bytes() == (shipped / vae).read_bytes()
    assert sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) == ["training", "v1-4"]


def test_one_that_has_begun_is_not_finished(work):
    assert main(["pocket-train", "--without", "monet", "--stage", "clip"]) == 0
    assert not (work / "without-monet" / "training" / "finished.json").exists()


@pytest.mark.parametrize(("without", "hidden"), [
    ((), set()), (("church",), {"church"}), (("vehicle", "van gogh"), {*VEHICLES, "van gogh"}),
])  # fmt: skip
def test_what_is_shown_is_all_but_the_concept(work, without, hidden):
    work.mkdir()
    data = training_set.training_set(DATA / "world" / "sprites.png", work, without)
    for place, scene in enumerate(data.scenes):
        names = {things.OBJECTS[scene.thing], list(things.STYLES)[scene.style]}
        assert (place in data.shown()) == (not names & hidden)
    captions = [variant[place] for variant in training_set.training_captions(data) for place in data.shown()]
    assert not [text for text in captions for name in hidden | set(without) if name in text.split()]


@pytest.mark.parametrize(("arguments", "message"), [
    (["--without", "curch"], "unknown concept 'curch'; did you mean 'church'?"),
    (["--without", "photo"], "unknown concept 'photo'"),
    (["--without", "church", "--install"], "--install takes the shipped model's place"),
    (["--without", "church", "--stage", "judge"], "unknown stage of a model --without something 'judge'"),
])  # fmt: skip
def test_what_cannot_be_left_out_is_refused(work, capsys, arguments, message):
    assert main(["pocket-train", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}") and error.count("\n") == 1 and not work.exists()
