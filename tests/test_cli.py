"""Bad input through the real door: one line, exit code 2, no traceback, nothing written."""

import subprocess
import sys

import pytest

from advunlearn_lib.cli import main
from advunlearn_lib.errors import UserError
from advunlearn_lib.profiles import POCKET, profile
from advunlearn_lib.store import ROOT


def run(*words):
    return subprocess.run([sys.executable, "-m", "advunlearn_lib.cli", *words], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("words", "message"), [
    (["tabel3"], "unknown command 'tabel3'; did you mean 'table3'?"),
    (["table3", "--profile", "poket"], "unknown profile 'poket'; did you mean 'pocket'?"),
    (["table3", "--fast"], "unknown option '--fast'"),
    (["table3", "--seed", "x"], "invalid int value"),
    (["table3", "--seed", "-1"], "seed"),
    (["table3", "--set", "fid_image=5"], "did you mean 'fid_images'? (allowed: "),
    (["table3", "--set", "fid_images=many"], "fid_images='many': input should be a valid integer"),
    (["table3", "--set", "fid_images=20"], "greater than or equal to 40"),
    (["table3", "--set", "prompts"], "takes name=value"),
    (["pocket-train", "--stage", "gan"], "invalid choice"),
    ([], "required"),
])  # fmt: skip
def test_one_line_and_exit_code_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ") and message in error


def test_an_unwritable_output_folder(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("table3", "--out", str(tmp_path / "file" / "x"))
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "cannot write the output folder" in done.stderr


def test_a_missing_model_folder(tmp_path):
    done = run("table3", "--quick", "--out", str(tmp_path), "--set", f"base={tmp_path}/none")
    assert done.returncode == 2 and "Traceback" not in done.stderr and "cannot load a StableDiffusionPipeline" in done.stderr
    assert not list(tmp_path.iterdir())


def test_list_shows_settings():
    done = run("list")
    assert done.returncode == 0 and f"--set fid_images={POCKET.fid_images}" in done.stdout


def test_overrides_are_typed():
    assert profile("pocket", ["fid_images=300", "guidance_scale=4"]).fid_images == 300
    with pytest.raises(UserError, match="unknown setting 'concepts'"):
        profile("pocket", ["concepts=1"])
