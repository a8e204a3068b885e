"""Bad input through the real door: one line, exit code 2, no traceback, nothing written."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.cli.main import main
from advunlearn_lib.profiles.load import profile
from advunlearn_lib.profiles.pocket import POCKET


def run(*words, store=None):
    environment = os.environ | ({"ADVUNLEARN_STORE": str(store)} if store else {})
    command = [sys.executable, "-m", "advunlearn_lib.cli", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


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
    (["table3", "--set", "base=/no/where"], "'/no/where' is no folder here, and no hub id either"),
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
    assert (
        done.returncode == 2
        and done.stderr.count("\n") == 1
        and "cannot write the output folder" in done.stderr
    )


def test_a_damaged_model_folder(tmp_path):
    """The worker's own complaint, through pool, kernel and papermill: still one line."""
    shutil.copytree(POCKET.base, tmp_path / "model")
    (tmp_path / "model" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"garbage")
    done = run(
        "table3",
        "--quick",
        "--out",
        str(tmp_path / "out"),
        "--set",
        f"base={tmp_path}/model",
        store=tmp_path / "store",
    )
    assert (
        done.returncode == 2
        and "Traceback" not in done.stderr
        and "cannot load a text-to-image pipeline" in done.stderr
    )
    assert not list((tmp_path / "out").iterdir())


def test_list_shows_settings():
    done = run("list")
    assert done.returncode == 0 and f"--set fid_images={POCKET.fid_images}" in done.stdout


def test_overrides_are_typed():
    assert profile("pocket", ["fid_images=300", "guidance_scale=4"]).fid_images == 300
    with pytest.raises(UserError, match="unknown setting 'concepts'"):
        profile("pocket", ["concepts=1"])


@pytest.mark.parametrize("item", ["table3", "all"])  # within a notebook's kernel, and without
def test_a_stopped_run_says_how_to_resume_and_leaves_nobody_behind(tmp_path, item):
    command = [sys.executable, "-m", "advunlearn_lib.cli", item, "--quick", "--out", str(tmp_path)]
    environment = os.environ | {"ADVUNLEARN_STORE": str(tmp_path / "store")}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    seen = ""
    while "erase:" not in seen:  # a worker is at it
        seen += process.stderr.read(1)
    process.send_signal(signal.SIGTERM)  # handled as Ctrl-C is
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        "interrupted" in rest
        and f"To resume: ./reproduce.sh {item} --quick" in rest
        and "Traceback" not in rest
    )
    assert gone(process.pid)


def gone(group):
    """Has every process of the group ended within ten seconds?"""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
