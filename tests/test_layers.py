"""Floors only lead down: the contracts of pyproject.toml hold, and an arrow upwards is found."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from advunlearn_lib.base.paths import ROOT

LINT = Path(sys.executable).with_name("lint-imports")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def lint(folder):
    """import-linter on the package in ``folder``, by the contracts of its pyproject.toml."""
    return subprocess.run(
        [LINT, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def copy(tmp_path):
    """The package's source and its contracts, to be spoilt."""
    shutil.copytree(
        ROOT / "advunlearn_lib", tmp_path / "advunlearn_lib", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_is_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert re.search(rf"Contracts: {len(CONTRACTS)} kept, 0 broken", done.stdout)


def test_the_layers_are_all_there_is():
    layers = next(contract for contract in CONTRACTS if contract["type"] == "layers")
    named = {name.strip() for layer in layers["layers"] for name in layer.split("|")}
    there = {path.stem for path in (ROOT / "advunlearn_lib").iterdir() if path.suffix in ("", ".py")}
    assert named == there - {"__init__", "__pycache__"} and layers["exhaustive"]


def test_both_drawings_of_the_house_are_the_contract():
    layers = next(contract for contract in CONTRACTS if contract["type"] == "layers")["layers"]
    guide = (ROOT / "CONTRIBUTING.md").read_text().partition("## The house\n")[2].split("```")[1]
    drawn = [line.partition("  ")[0] for line in guide.strip().splitlines()]
    assert drawn == layers
    page = (ROOT / "README.md").read_text().partition("| floor | what is there |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`(\w+)(?:/|\.py)`", line.split("|")[1]) for line in page.splitlines() if "`" in line]
    assert [name for row in rows for name in row] == [n for layer in layers for n in layer.split(" | ")]


@pytest.mark.parametrize(("file", "line", "broken"), [
    ("base/seeds.py", "from advunlearn_lib.experiment import study", "advunlearn_lib.base.seeds"),
    ("erasure/esd.py", "from advunlearn_lib.attacks import attack", "advunlearn_lib.erasure.esd"),
    ("diffusion/hub.py", "def late():\n    import advunlearn_lib.api", "advunlearn_lib.diffusion.hub"),
    ("profiles/schema.py", "from advunlearn_lib.profiles import pocket", "advunlearn_lib.profiles.schema"),
])  # fmt: skip
def test_an_arrow_upwards_or_in_a_circle_is_found(copy, file, line, broken):
    path = copy / "advunlearn_lib" / file
    path.write_text(f"{path.read_text()}\n\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1 and "BROKEN" in done.stdout
    assert broken.rpartition(".")[2] in done.stdout.partition("Broken contracts")[2]


def test_a_module_on_no_floor_is_found(copy):
    (copy / "advunlearn_lib" / "elsewhere.py").write_text("")
    assert lint(copy).returncode == 1
