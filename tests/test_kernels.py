"""Kernels are forks of a process that has imported: born with nothing of another's, and none left behind."""

import os
import signal
import subprocess
import sys
import time

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook
from processes import gone

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.report import kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are programs here")
BORN = """
import os, sys
print(os.getpid(), os.getppid(), "torch" in sys.modules, __name__, os.environ.get("MARK"), os.getcwd())
print("left" in globals(), hasattr(sys, "left"))
left = sys.left = 1
"""


@pytest.fixture(autouse=True)
def begun(monkeypatch):
    """What it sets is put back."""
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("ADVUNLEARN_PROGRESS", "lines")
    kernels.begin()


def run(*sources, **settings):
    """The outputs of each cell."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    client = NotebookClient(notebook, kernel_name="python3", **settings)
    client.kernel_manager_class = kernels.manager()
    client.execute()
    return [cell.outputs for cell in notebook.cells]


def test_each_is_born_with_imports_and_nothing_else(monkeypatch, tmp_path):
    """A process of its own, in this one's folder and with its environment as they are now."""
    monkeypatch.chdir(tmp_path)
    lives = []
    for mark in ("one", "other"):
        monkeypatch.setenv("MARK", mark)
        lives.append(run(BORN)[0][0].text.split())
    (pid, server, *rest), (other, same, *others) = lives
    assert pid != other and server == same != str(os.getpid())
    assert rest == ["True", "__main__", "one", str(tmp_path), "False", "False"]
    assert others == ["True", "__main__", "other", str(tmp_path), "False", "False"]


def test_a_picture_is_shown_below_its_cell():
    (shown,) = run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert "image/png" in shown[0].data


def test_what_a_cell_asks_of_its_session_it_has(monkeypatch):
    """Output of programs that it starts; Ctrl-C."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # where it is set a kernel leaves programs' output alone
    said, stopped = run(
        "import subprocess\nsubprocess.run(['echo', 'from a program'])",
        "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('stopped')",
        timeout=2,
        interrupt_on_timeout=True,
    )
    assert "from a program\n" in [output.get("text") for output in said]
    assert stopped[0].text == "stopped\n"


def test_one_that_dies_is_told_and_the_next_lives():
    with pytest.raises(DeadKernelError):
        run("import os\nos.kill(os.getpid(), 9)")
    assert run("print(1)")[0][0].text == "1\n"


ALONE = """
import sys
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from advunlearn_lib.report import kernels
cell = new_code_cell(sys.argv[1])
client = NotebookClient(new_notebook(cells=[cell]), kernel_name="python3")
client.kernel_manager_class = kernels.manager()
client.execute()
"""
BORN_ALONE = """
import os, time
print(os.getpid(), os.getppid(), file=open("born", "w"))
"""


def alone(source, folder, **environment):
    """A process that runs ``source`` in a kernel."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.Popen([sys.executable, "-c", ALONE, source], cwd=folder, env=environment)


def test_where_the_servers_socket_cannot_be_kernels_are_programs(tmp_path):
    """Its name is cut at 108 letters."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    assert alone(BORN_ALONE, tmp_path, TMPDIR=str(folder)).wait() == 0
    assert (tmp_path / "born").exists()


TOUCHED = """
import torch
def touch(*_, **__):
    raise AssertionError("the card was touched")
for name in ("is_available", "device_count", "init", "_lazy_init", "current_device", "get_device_capability"):
    setattr(torch.cuda, name, touch)
import advunlearn_lib.report.preload
"""


@pytest.mark.slow
def test_what_is_imported_before_the_fork_touches_no_card():
    """A fork of a process that has could not use it."""
    done = subprocess.run(
        [sys.executable, "-c", TOUCHED], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_it_ends_with_the_process_that_asked_for_it(tmp_path):
    """However that one ends; and so does the server."""
    process = alone(BORN_ALONE + "time.sleep(60)", tmp_path)
    born = tmp_path / "born"
    while not (born.exists() and born.read_text().endswith("\n")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for pid in map(int, born.read_text().split()):
        assert gone(pid)
