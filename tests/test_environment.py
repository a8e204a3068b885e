"""What the repository promises about itself."""

import importlib.util
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version

import pytest
import yaml
from packaging.requirements import Requirement

from advunlearn_lib.base.paths import PUBLISHED, ROOT

LOCK = dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.M))
PINNED = {name.lower().replace("_", "-"): pin for name, pin in LOCK.items()}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_lock_is_within_the_ranges_and_installed():
    elsewhere = ("pre-commit", "hypothesis")  # whoever wants it installs it; requirements-extras.lock
    groups = [r for r in PROJECT["dependency-groups"]["dev"] if not r.startswith(elsewhere)]
    for text in PROJECT["project"]["dependencies"] + groups:
        requirement = Requirement(text)
        pin = PINNED[requirement.name.lower().replace("_", "-")]
        assert requirement.specifier.contains(pin), text
        assert version(requirement.name).split("+")[0] == pin


def test_every_locked_package_has_its_hashes_but_torch():
    """What is installed is what was locked, whatever an index serves."""
    text = (ROOT / "requirements-hashes.lock").read_text()
    packages = re.findall(
        r"^([A-Za-z0-9_.-]+)==(\S+) \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.M
    )
    pins = {name.lower().replace("_", "-"): pin for name, pin, _ in packages}
    assert pins == {name: pin for name, pin in PINNED.items() if name != "torch"}
    rest = [line for line in text.splitlines() if not line.startswith(("#", "    --hash=sha256:"))]
    assert len(rest) == len(packages)


def test_environment_yml_is_the_lock_with_its_torch_for_cpus_and_the_package():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pinned = dict(line.split("=") for line in conda if "=" in line)
    assert pinned.pop("pytorch-cpu") == PINNED["torch"]
    python = Requirement(f"python{PROJECT['project']['requires-python']}").specifier
    assert python.contains(pinned.pop("python")) and pinned == {}
    assert "pip" in conda and pip == {"pip": ["-r requirements.lock", "-e ."]}


def test_the_lab_lock_is_within_its_range_and_adds_to_the_lock():
    text = (ROOT / "requirements-lab.lock").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pins = dict(re.fullmatch(r"([A-Za-z0-9_.-]+)==(\S+)", line).groups() for line in lines)
    for needed in map(Requirement, PROJECT["project"]["optional-dependencies"]["lab"]):
        assert needed.specifier.contains(pins[needed.name])
    assert not {name.lower().replace("_", "-") for name in pins} & set(PINNED)


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


def test_an_environment_behind_a_link_is_not_emptied(tmp_path):
    """``python -m venv --clear`` would empty the folder that the link leads to, perhaps another clone's."""
    others, clone = tmp_path / "others", tmp_path / "clone"
    others.mkdir()
    clone.mkdir()
    (others / "precious").touch()
    (clone / ".venv").symlink_to(others)
    for name in ("reproduce.sh", "requirements.lock", "requirements-hashes.lock"):
        shutil.copy(ROOT / name, clone)
    done = subprocess.run(
        ["bash", clone / "reproduce.sh", "list"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.endswith("remove the link\n") and done.stderr.count("\n") == 1
    assert (others / "precious").exists()
