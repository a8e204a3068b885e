"""Bad input through the real door: one line, exit code 2, no traceback, nothing written."""

import os
import shutil
import subprocess
import sys

import pytest

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.cli.main import main
from advunlearn_lib.profiles.pocket import POCKET


def run(*words, store=None):
    environment = os.environ | ({"ADVUNLEARN_STORE": str(store)} if store else {})
    command = [sys.executable, "-m", "advunlearn_lib.cli", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("words", "message"), [
    (["tabel3"], "unknown command 'tabel3'; did you mean 'table3'?"),
    (["table3", "--profile", "poket"], "unknown profile 'poket'; did you mean 'pocket'?"),
    (["table3", "--fast"], "unknown option '--fast'"),
    (["table3", "--seed", "x"], "'x' is no whole number from 0 on"),
    (["table3", "--seed", "-1"], "'-1' is no whole number from 0 on"),
    (["table3", "--seed", ""], "'' is no whole number from 0 on"),
    (["table3", "--seeds", "0"], "'0' is no whole number from 1 on"),
    (["table3", "--set", "seed=1"], "unknown setting 'seed'"),
    (["table3", "--set", "fid_image=5"], "did you mean 'fid_images'? (allowed: "),
    (["table3", "--set", "fid_images=many"], "fid_images='many': input should be a valid integer"),
    (["table3", "--set", "fid_images=20"], "greater than or equal to 40"),
    (["table3", "--set", "prompts"], "takes name=value"),
    (["table3", "--set", "base=/no/where"], "'/no/where' is no folder here, and no hub id either"),
    (["table3", "--base", "/no/where"], "'/no/where' is no folder here, and no hub id either"),
    (["table3", "--prompts-dir", "/no/where"], "prompts_dir='/no/where': no such folder"),
    (["pocket-train", "--stage", "gan"], "invalid choice"),
    ([], "no command given (see ./reproduce.sh --help)"),
])  # fmt: skip
def test_one_line_and_exit_code_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ") and message in error


def test_an_unwritable_output_folder(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("table3", "--out", str(tmp_path / "file" / "x"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "cannot write the output folder" in done.stderr


def test_a_damaged_model_folder(tmp_path):
    """The worker's own complaint, through pool, kernel and papermill: still one line."""
    shutil.copytree(POCKET.base, tmp_path / "model")
    (tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"garbage")
    words = ["table3", "--quick", "--out", str(tmp_path / "out"), "--set", f"base={tmp_path}/model"]
    done = run(*words, store=tmp_path / "store")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "cannot load a text-to-image pipeline" in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_a_settings_description_is_what_list_shows():
    done = run("list", "settings")
    assert done.returncode == 0 and f"fid_images={POCKET.fid_images}" in done.stdout
    assert "pictures behind FID and CLIP score" in done.stdout and "Traceback" not in done.stderr
