"""Bad input: one line, exit code 2, no traceback, nothing written."""

import shutil
import subprocess
import sys

import pytest
from made_up import fill_cells

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.main import main
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report.reported import jobs_of


@pytest.mark.parametrize(("words", "message"), [
    (["tabel3"], "unknown command 'tabel3'; did you mean 'table3'?"),
    (["table3", "--profile", "poket"], "unknown profile 'poket'; did you mean 'pocket'?"),
    (["table3", "--fast"], "unknown option '--fast'"),
    (["table3", "--seed", "x"], "'x' is not a whole number of at least 0"),
    (["table3", "--seed", "-1"], "'-1' is not a whole number of at least 0"),
    (["table3", "--seed", ""], "'' is not a whole number of at least 0"),
    (["table3", "--seeds", "0"], "'0' is not a whole number of at least 1"),
    (["table3", "--set", "seed=1"], "unknown setting 'seed'"),
    (["table3", "--set", "fid_image=5"], "did you mean 'fid_images'? (allowed: "),
    (["table3", "--set", "fid_images=many"], "fid_images='many': input should be a valid integer"),
    (["table3", "--set", "fid_images=20"], "greater than or equal to 40"),
    (["table3", "--set", "prompts"], "takes name=value"),
    (["table3", "--set", "base=/no/where"], "'/no/where' is neither a folder nor a hub id"),
    (["table3", "--base", "/no/where"], "'/no/where' is neither a folder nor a hub id"),
    (["table3", "--prompts-dir", "/no/where"], "prompts_dir='/no/where': no such folder"),
    (["pocket-train", "--stage", "gan"], "invalid choice"),
    ([], "no command given (see ./reproduce.sh --help)"),
])  # fmt: skip
def test_one_line_and_exit_code_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ") and message in error


def test_an_unwritable_output_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["table3", "--out", str(tmp_path / "file" / "x")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cannot write the output folder" in error


def test_a_damaged_model_folder(tmp_path, monkeypatch, capfd):
    """The worker's own complaint, through pool, kernel and papermill: still one line.

    Everything is made up but one model, for time: a single worker has something to do.
    """
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("ADVUNLEARN_PROGRESS", "lines")  # both are set for the kernel, and put back then
    monkeypatch.setenv("PYTHONPATH", "")
    shutil.copytree(POCKET.base, tmp_path / "model")
    (tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"garbage")
    profile = load_profile("pocket", [f"base={tmp_path}/model"], quick=True)
    study = Study(profile, Store(tmp_path / "store" / "pocket"))
    fill_cells(tmp_path / "store", jobs_of([study], "1"))
    missing = study.protocol.model(Row("nudity", "ESD")).recipe
    shutil.rmtree(study.store.folder("erase", missing))  # to be trained
    capfd.readouterr()
    words = ["table1", "--quick", "--out", str(tmp_path / "out"), "--set", f"base={tmp_path}/model"]
    assert main(words) == 2
    error = capfd.readouterr().err
    assert "Traceback" not in error and "cannot load a text-to-image pipeline" in error
    assert not list((tmp_path / "out").iterdir())


def test_the_real_door():
    """In a process of its own, and what ``list`` shows: a setting's description."""
    command = [sys.executable, "-m", "advunlearn_lib.cli"]
    done, wrong = (
        subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        for words in (["list", "settings"], ["tabel3"])
    )
    assert done.returncode == 0 and f"fid_images={POCKET.fid_images}" in done.stdout
    assert "pictures behind FID and CLIP score" in done.stdout and "Traceback" not in done.stderr
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and wrong.stdout == ""
    assert wrong.stderr.startswith("error: unknown command 'tabel3'")
