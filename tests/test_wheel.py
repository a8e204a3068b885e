"""The wheel: every file of the package, and its command, from an empty folder, as in the clone."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from advunlearn_lib.base.paths import ROOT

pytestmark = pytest.mark.slow
DRAW = ["generate", "--base", "data/pocket/v1-4", "--prompt", "a photo of a church", "--steps", "2"]
WHERE_IT_IS = "it comes with a clone of the repository, not with the installed package"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(build, check=True)
    (built,) = folder.glob("advunlearn_lib-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The command of an environment that has the wheel, and else what this one has but this clone."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "all.pth").write_text(f"{here}\n")
    pip = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    subprocess.run([folder / "bin" / "python", "-m", *pip], check=True, env=outside())
    return folder / "bin" / "advunlearn"


def outside(**variables):
    """The environment of someone who has no clone, but for ``variables``."""
    ours = ("PYTHONPATH", "ADVUNLEARN_DATA", "ADVUNLEARN_STORE")
    return {name: value for name, value in os.environ.items() if name not in ours} | variables


def run(command, cwd, **variables):
    return subprocess.run(
        command, cwd=cwd, env=outside(**variables), capture_output=True, text=True, check=False
    )


def test_the_wheel_is_the_package(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        made = {name for name in archive.namelist() if not name.endswith("/")}
    package = {name for name in made if name.startswith("advunlearn_lib/")}
    listed = ["git", "ls-files", "-co", "--exclude-standard", "advunlearn_lib"]
    there = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert package == {name for name in there if name and (ROOT / name).is_file()}
    assert {name.rpartition("/")[2] for name in made - package} >= {"METADATA", "LICENSE", "NOTICE"}


def test_without_a_clone_its_commands_say_what_they_lack(installed, tmp_path):
    python = installed.with_name("python")
    where = run([python, "-c", "import advunlearn_lib.api as a; print(a.__file__)"], tmp_path).stdout
    assert where.startswith(str(installed.parents[1]))
    overview = run([installed, "--help"], tmp_path)
    assert (
        overview.returncode == 0
        and "generate " in overview.stdout
        and "advunlearn COMMAND" in overview.stdout
    )
    for words in ([*DRAW, "--out", "drawn"], ["list"], ["table3", "--quick"]):
        for variables in ({}, {"ADVUNLEARN_DATA": "/nowhere"}):
            done = run([installed, *words], tmp_path, **variables)
            assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr[-2000:]
            assert done.stderr.startswith("error: no pocket model in /") and WHERE_IT_IS in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_with_a_clone_or_its_data_named_it_draws_what_the_clone_draws(installed, tmp_path):
    done = run([sys.executable, "-m", "advunlearn_lib.cli", *DRAW, "--out", str(tmp_path / "here")], ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    for named in (ROOT, ROOT / "data"):
        done = run([installed, *DRAW, "--out", named.name], tmp_path, ADVUNLEARN_DATA=str(named))
        assert done.returncode == 0, done.stderr[-2000:]
        pictures = [(tmp_path / folder / "00000.png").read_bytes() for folder in (named.name, "here")]
        assert pictures[0] == pictures[1]


def test_with_a_clone_named_it_regenerates_items(installed, tmp_path, quick_store):
    places = {"ADVUNLEARN_DATA": str(ROOT), "ADVUNLEARN_STORE": str(quick_store)}
    places["JUPYTER_PATH"] = str(Path(sys.prefix, "share", "jupyter"))  # nbconvert's templates are here
    done = run([installed, "table5", "--quick", "--out", "out"], tmp_path, **places)
    assert done.returncode == 0, done.stderr[-2000:]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"table5.csv", "table5.html", "table5.ipynb"} <= written
    assert "commit unknown" in (tmp_path / "out" / "table5.md").read_text()  # the wheel's code is no clone's
