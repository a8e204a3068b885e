"""What the repository promises about itself."""

import importlib.util
import re
import runpy
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from advunlearn_lib.base.paths import PUBLISHED, ROOT

LOCK = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.M))
PINNED = {name.lower().replace("_", "-"): pin for name, pin in LOCK.items()}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_lock_is_within_the_ranges_and_installed():
    groups = [r for r in PROJECT["dependency-groups"]["dev"] if not r.startswith("pre-commit")]
    for text in PROJECT["project"]["dependencies"] + groups:
        requirement = Requirement(text)
        pin = PINNED[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(pin), text
        assert version(requirement.name).split("+")[0] == pin


def test_environment_yml_installs_the_lock():
    assert "-r requirements.lock" in (ROOT / "environment.yml").read_text()


@pytest.mark.parametrize("module", ["base/store.py", "diagnose/dry_run.py"])
def test_what_windows_lacks_is_not_imported(module, monkeypatch):
    for name in ("fcntl", "resource"):
        monkeypatch.setitem(sys.modules, name, None)
    runpy.run_path(str(ROOT / "advunlearn_lib" / module))


def test_no_torchvision_in_the_core():
    assert "torchvision" not in PINNED


def tracked():
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).exists()]


def test_shipped_files_are_small_and_plain():
    files = tracked()
    if not files:
        pytest.fail("this test needs a git checkout")
    assert sum(path.stat().st_size for path in files if path.is_relative_to(ROOT / "data")) < 80e6
    assert not [path for path in files if path.suffix in (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".npy")]
    long = {
        path.name
        for path in files
        if path.suffix == ".py" and "notebooks" not in path.parts and path.read_text().count("\n") > 260
    }
    assert not long


def test_every_module_that_a_text_tells_to_run_is_there():
    texts = [path for path in tracked() if path.suffix in (".py", ".md", ".sh", ".toml", ".yml")]
    told = {
        name for path in texts for name in re.findall(r"python -m (advunlearn_lib[\w.]*\w)", path.read_text())
    }
    assert "advunlearn_lib.cli" in told
    assert [name for name in told if importlib.util.find_spec(name) is None] == []


def test_the_readme_shows_the_committed_results():
    readme = (ROOT / "README.md").read_text()
    for report in ("training/quality.md", "training/world.md", "table3.md", "table5.md", "table7.md",
                   "figure8.md"):  # fmt: skip
        table = (PUBLISHED / "pocket" / report).read_text().split("\n\n")[0]
        assert table in readme, report
