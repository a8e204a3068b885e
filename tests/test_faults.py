"""Killed at random moments, as often as ADVUNLEARN_KILLS says, work ends as if it had never been killed.

The weekly workflow kills fifty times. Nothing is left over, and every byte is that of an undisturbed run, but
for how many seconds a cell took.
"""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.base.store import Store

KILLS = int(os.environ.get("ADVUNLEARN_KILLS", "3"))
MODEL = ["--base", str(ROOT / "data" / "pocket" / "v1-4")]
JUDGE = ["--judge", str(ROOT / "data" / "pocket" / "judge-object"), "--labels", "church", "--kind", "object"]
RETAIN = "a photo of a dog\na photo of a cat\na photo of a train\na photo of a chair\n"
WORK = {  # command lines in a folder that has church.txt and retain.txt
    "table": ["table1", "--quick", "--out", "out"],
    "training": [
        "erase", *MODEL, "--concept", "church", "--kind", "object", "--retain", "retain.txt", "--out", "out",
        "--option", "iterations=40",
    ],
    "attack": ["attack", *MODEL, "--prompts", "church.txt", *JUDGE, "--batch", "2", "--out", "out"],
    "generation": ["generate", *MODEL, "--prompts", "church.txt", "--batch", "2", "--out", "out"],
}  # fmt: skip
FOLDER = 'a folder, it\'s "ours", ünïcode'


def start(words, folder):
    own = {"ADVUNLEARN_STORE": str(folder / "store"), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "advunlearn_lib.cli", *words], cwd=folder, env=os.environ | own,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def prepare(folder):
    folder.mkdir(parents=True)
    (folder / "church.txt").write_text("".join(f"a photo of a church {place}\n" for place in PLACES))
    (folder / "retain.txt").write_text(RETAIN)
    return folder


PLACES = (
    "",
    "in the snow",
    "at night",
    "by the sea",
    "on the grass",
    "in the city",
    "under the stars",
    "here",
)


def finish(words, folder):
    """Run to the end; the seconds that it took."""
    began = time.monotonic()
    process = start(words, folder)
    error = process.communicate(timeout=900)[1]
    assert process.returncode == 0, f"{shlex.join(words)}: {error[-2000:]}"
    return time.monotonic() - began


def content(folder):
    """Every file by its path, without what may differ: seconds, and the digests of what says them."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or name.endswith(".lock"):
            continue
        if path.suffix not in (".ipynb", ".html"):  # they say which folder they were written to
            files[name] = (
                timeless(json.loads(path.read_text())) if path.suffix == ".json" else path.read_bytes()
            )
    return files


def timeless(value):
    """JSON without anything that is measured in seconds, or is a digest of it."""
    if isinstance(value, dict):
        kept = {
            key: timeless(one) for key, one in value.items() if key not in ("seconds", "sha256", "digest")
        }
        kept.pop("files", None)
        return kept
    return [timeless(one) for one in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.parametrize("name", WORK)
def test_killed_at_random_moments_it_ends_as_if_never_killed(name, tmp_path):
    words, rng = WORK[name], random.Random(name)
    calm, stormy = (prepare(tmp_path / folder / FOLDER) for folder in ("calm", "stormy"))
    seconds = finish(words, calm)
    killed = 0
    for _ in range(KILLS):
        process = start(words, stormy)
        try:
            process.communicate(timeout=rng.uniform(0.2, 1) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            killed += 1
    finish(words, stormy)
    assert killed
    first, second = content(calm), content(stormy)
    assert sorted(first) == sorted(second)
    assert [file for file in first if first[file] != second[file]] == []
    assert not [file for file in second if ".partial" in file or ".tmp" in file]


@pytest.mark.slow
def test_two_runs_on_one_store_at_once_make_what_one_makes(tmp_path):
    alone, shared = (prepare(tmp_path / name) for name in ("alone", "shared"))
    finish(WORK["table"], alone)
    others = [start([*WORK["table"][:-1], out], shared) for out in ("out", "out2")]
    assert [process.communicate(timeout=900) and process.returncode for process in others] == [0, 0]
    assert content(alone / "store") == content(shared / "store")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="a full disk is made with a mount of its own")
def test_a_full_disk_is_one_line_and_what_is_finished_stays(tmp_path):
    folder = prepare(tmp_path / "folder")
    (folder / "store").mkdir()
    command = f'mount -t tmpfs -o size=12m tmpfs {folder / "store"} && exec "$@"'
    words = ["unshare", "-m", "sh", "-c", command, "sh", sys.executable, "-m", "advunlearn_lib.cli"]
    own = {"ADVUNLEARN_STORE": str(folder / "store"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words, *WORK["table"], "--set", "disk_gb=0"],
        cwd=folder,
        env=os.environ | own,
        capture_output=True,
        text=True,
    )
    if "permission denied" in done.stderr.lower() or "not permitted" in done.stderr.lower():
        pytest.skip("no mount is allowed here")
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr and "no space is left on the disk of" in done.stderr


@pytest.mark.parametrize(
    "said", ["[Errno 28] No space left on device", "I/O error: Disk quota exceeded (os error 122)"]
)
def test_a_cell_that_finds_no_space_is_one_line_and_not_taken_for_finished(tmp_path, said):
    store = Store(tmp_path)

    def compute(folder):
        raise OSError(said)

    with pytest.raises(UserError, match="no space is left on the disk of "):
        store.cell("erase", {"a": 1}, compute)
    assert store.read("erase", {"a": 1}) is None
    with pytest.raises(OSError, match="another matter"):
        store.cell("erase", {"a": 1}, lambda folder: (_ for _ in ()).throw(OSError("another matter")))
