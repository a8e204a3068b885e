"""The wheel: every file of the package, and it imports where the repository is not."""

import os
import subprocess
import sys
import zipfile

import pytest

from advunlearn_lib.base.paths import ROOT


@pytest.mark.slow
def test_the_wheel_is_the_package(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("advunlearn_lib-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    made = {
        path.relative_to(tmp_path / "site").as_posix()
        for path in (tmp_path / "site").rglob("*")
        if path.is_file()
    }
    package = {name for name in made if name.startswith("advunlearn_lib/")}
    listed = ["git", "ls-files", "-co", "--exclude-standard", "advunlearn_lib"]
    there = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    assert package == {name for name in there if name and (ROOT / name).is_file()}
    assert {name.rpartition("/")[2] for name in made - package} >= {"METADATA", "LICENSE", "NOTICE"}

    command = [
        sys.executable,
        "-c",
        "import advunlearn_lib.api, advunlearn_lib.cli.main as m; print(m.__file__)",
    ]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "site" / "advunlearn_lib" / "cli" / "main.py")
