"""What the repository promises about itself."""

import json
import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from advunlearn_lib.paper.items import ITEMS

ROOT = Path(__file__).parent.parent
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


def test_notebooks_are_stripped_and_paired():
    assert {script.stem for script in (ROOT / "notebooks").glob("*.py")} == set(ITEMS)
    for script in (ROOT / "notebooks").glob("*.py"):
        notebook = json.loads(script.with_suffix(".ipynb").read_text())
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
        assert all("".join(cell["source"]) in script.read_text() for cell in cells)


def test_the_readme_shows_the_committed_results():
    readme = (ROOT / "README.md").read_text()
    for report in ("training/quality.md", "table3.md", "table5.md", "table7.md"):
        table = (ROOT / "figures" / "pocket" / report).read_text().split("\n\n")[0]
        assert table in readme, report
