"""In Colab a notebook alone fetches what it needs; elsewhere its Colab cell does nothing.

Stand-ins: an empty module ``google.colab``, a local bare repository for GitHub.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile

import jupytext
import pytest
import torch

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.report import colab
from advunlearn_lib.report.page import to_html

NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
URL = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
AFTERWARDS = """
import json, multiprocessing, subprocess, tiny
where = "__import__('advunlearn_lib').__file__"
with multiprocessing.get_context("spawn").Pool(1) as pool:
    spawned = pool.apply(eval, (where,))
started = subprocess.check_output([sys.executable, "-c", f"print({where})"], cwd="/", text=True)
print(json.dumps([eval(where), spawned, started.strip(), profile]))
"""


def colab_cells(name):
    """The badge's source and the code's."""
    cells = jupytext.read(ROOT / "notebooks" / f"{name}.py").cells
    badge, code = [cell for cell in cells if "colab" in cell.metadata.get("tags", [])]
    assert badge is cells[0] and (badge.cell_type, code.cell_type) == ("markdown", "code")
    assert code.metadata.jupyter.source_hidden
    before = [cell for cell in cells[: cells.index(code)] if cell.cell_type == "code"]
    assert [cell.metadata.tags for cell in before] == [["parameters"]]  # it needs the profile they name
    return badge.source, code.source


@pytest.mark.parametrize("name", NAMES)
def test_every_notebook_has_the_cell_and_its_own_badge(name):
    badge, code = colab_cells(name)
    assert code == colab_cells("00_tour")[1] and f" {URL} " in code
    (target,) = re.findall(r"\]\(([^()]*)\)$", badge)
    assert target == f"{URL}/blob/main/notebooks/{name}.ipynb".replace(
        "https://github.com", "https://colab.research.google.com/github"
    )


def test_a_page_shows_neither():
    page = to_html(jupytext.read(ROOT / "notebooks" / "table3.py"))
    assert "Table 3" in page and "colab" not in page and "advunlearn_lib.report import Item" in re.sub(
        r"<[^>]*>", "", page
    )  # fmt: skip


@pytest.fixture
def remote(tmp_path):
    """A bare repository of the package, which needs one thing more that no machine has."""
    work = tmp_path / "work"
    listed = ["git", "ls-files", "-co", "--exclude-standard", "advunlearn_lib", "pyproject.toml"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\n"):
        if name and (ROOT / name).is_file():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, work / name)
    wheel = tmp_path / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        archive.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny-1.dist-info/RECORD", "")
    project = (work / "pyproject.toml").read_text()
    more = f'dependencies = [\n  "tiny @ {wheel.as_uri()}",'
    (work / "pyproject.toml").write_text(project.replace("dependencies = [", more, 1))
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "--all"], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", *words], cwd=work, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", work, tmp_path / "remote.git"], check=True)
    return (tmp_path / "remote.git").as_uri()


@pytest.fixture
def colabs_python(tmp_path):
    """An environment of its own that has what this one has, a copy of the package included."""
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "all.pth").write_text(f"{here}\n{ROOT}\n")
    return tmp_path / "venv" / "bin" / "python"


@pytest.mark.slow
def test_in_colab_the_notebook_alone_is_enough(remote, colabs_python, tmp_path, monkeypatch):
    content = tmp_path / "content"
    content.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    cell = colab_cells("00_tour")[1].replace(URL, remote)
    module = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"
    code = f"{module}profile = 'paper'\n{cell}\n{AFTERWARDS}"
    for _ in range(2):  # the second time it is there
        done = subprocess.run(
            [colabs_python, "-c", code], cwd=content, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        said, found = done.stdout.strip().split("\n")
        assert said == "no GPU here: profile pocket instead of paper"
        clone = str(content / "advunlearn" / "advunlearn_lib" / "__init__.py")
        assert json.loads(found) == [clone, clone, clone, "pocket"]


def test_elsewhere_nothing_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    scope, paths = {"profile": "paper"}, list(sys.path)
    exec(colab_cells("00_tour")[1], scope)
    assert scope["profile"] == "paper" and sys.path == paths and list(tmp_path.iterdir()) == []


def test_with_a_gpu_the_profile_is_the_readers(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [colab.runnable(name) for name in ("paper", "pocket")] == ["paper", "pocket"]


def test_what_pip_cannot_install_is_said(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["tiny @ file:///nowhere/tiny-1-py3-none-any.whl"]\n'
    )
    monkeypatch.setattr(colab, "CLONE", tmp_path)
    with pytest.raises(RuntimeError, match=r"could not install what is missing: .*nowhere/tiny-1"):
        colab.install()
