"""Notebooks as a reader has them: JupyterLab as ``lab`` starts it, in a real Chromium, on a copy of them.

Needs ``chromium``, its driver, ``pip install selenium`` and requirements-lab.lock.
"""

import shutil
import socket
import subprocess
import time
from argparse import Namespace
from importlib.util import find_spec
from itertools import product

import pytest

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.cli import lab
from advunlearn_lib.report.items import BEYOND, ITEMS

NEEDED = {
    "chromium": shutil.which("chromium") or shutil.which("google-chrome"),
    "chromedriver": shutil.which("chromedriver"),
    "selenium": find_spec("selenium"),
    "jupyterlab": find_spec("jupyterlab"),
}
MISSING = [name for name, there in NEEDED.items() if not there]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
PATIENCE = 600  # seconds; a loaded machine is slow
ERRORS = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"


@pytest.fixture
def copy(tmp_path, own_store, monkeypatch):
    """A copy of the notebooks, for the smallest run, into a folder of its own; no setting of the user's."""
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    for name, (suffix, quote) in product(("table3", "00_tour"), (("py", '"'), ("ipynb", '\\"'))):
        file = tmp_path / "notebooks" / f"{name}.{suffix}"
        text = file.read_text().replace("quick = False", "quick = True")
        file.write_text(text.replace(f"out = {quote}{quote}", f"out = {quote}{tmp_path}/out{quote}"))
    settings = tmp_path / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(
        '{"windowingMode": "none"}'
    )  # all cells on the page
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(tmp_path / "settings"))
    for place in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{place}_DIR", str(tmp_path / "jupyter" / place))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def address(copy):
    """Of a server, as ``lab`` starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = lab.lab_command(Namespace(port=port, no_browser=True))
    with (copy / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--IdentityProvider.token=test"], cwd=copy, stdout=log, stderr=log
        )
    try:
        wait(lambda: socket.create_connection(("127.0.0.1", port)).close() or True, "a server", (OSError,))
        yield f"http://127.0.0.1:{port}/lab/tree/notebooks/{{}}.ipynb?token=test"
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture
def browser(copy):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = NEEDED["chromium"]
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,2400",
                 f"--user-data-dir={copy}/chromium"):  # fmt: skip
        options.add_argument(word)
    driver = webdriver.Chrome(options, webdriver.ChromeService(NEEDED["chromedriver"]))
    driver.set_page_load_timeout(PATIENCE)
    yield driver
    driver.quit()


def wait(condition, what, expected=()):
    """Until ``condition()`` is true; fails after :data:`PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if condition():
                return
        except expected:
            pass
        time.sleep(0.5)
    pytest.fail(f"{what} did not come in {PATIENCE} s")


def found(browser, css):
    return browser.find_elements("css selector", css)


def opened(browser, address):
    """A notebook whose kernel is ready."""
    browser.get(address)
    wait(lambda: found(browser, ".jp-Notebook .jp-CodeCell"), "a notebook")
    wait(lambda: "Python" in found(browser, ".jp-KernelName")[0].text, "a kernel", (IndexError,))
    wait(lambda: found(browser, ".jp-Notebook-ExecutionIndicator[data-status=idle]"), "an idle kernel")


def choose(browser, menu, entry):
    """One entry of a menu."""
    named = {item.text: item for item in found(browser, ".lm-MenuBar-item")}
    named[menu].click()
    wait(lambda: [one for one in found(browser, ".lm-Menu-itemLabel") if one.text == entry], entry)
    next(one for one in found(browser, ".lm-Menu-itemLabel") if one.text == entry).click()


def run_all(browser):
    """All cells, to the last one's end."""

    def counts():
        prompts = [prompt.text for prompt in found(browser, ".jp-Notebook .jp-CodeCell .jp-InputPrompt")]
        return [prompt.strip("[]: ") for prompt in prompts if prompt]  # a folded cell shows none

    choose(browser, "Run", "Run All Cells")
    wait(lambda: all(count.isdecimal() for count in counts()), "the last cell's end")


def pictures(browser):
    """The widths of all pictures in the outputs."""
    script = "return [...document.querySelectorAll('.jp-OutputArea img')].map(one => one.naturalWidth)"
    return browser.execute_script(script)


def test_the_index_and_table3(browser, address, copy):
    opened(browser, address.format("index"))
    run_all(browser)
    links = {link.text for link in found(browser, ".jp-OutputArea table a")}
    assert links >= {*ITEMS, *BEYOND} and not found(browser, ERRORS)

    opened(browser, address.format("table3"))
    run_all(browser)
    browser.save_screenshot(str(copy / "table3.png"))
    assert not found(browser, ERRORS)
    assert any("AdvUnlearn" in table.text for table in found(browser, ".jp-OutputArea table"))
    assert len(pictures(browser)) >= 3 and min(pictures(browser)) > 150
    assert (copy / "out" / "table3.csv").exists()


def saved(browser, copy, name):
    """Save a notebook: what its two files held before and what they hold now."""
    files = [copy / "notebooks" / f"{name}.{suffix}" for suffix in ("py", "ipynb")]
    before, times = [file.read_bytes() for file in files], [file.stat().st_mtime_ns for file in files]
    choose(browser, "File", "Save Notebook")
    wait(lambda: all(f.stat().st_mtime_ns != t for f, t in zip(files, times, strict=True)), "the saved files")
    return before, [file.read_bytes() for file in files]


def test_the_tour(browser, address, copy):
    opened(browser, address.format("00_tour"))
    run_all(browser)
    browser.save_screenshot(str(copy / "00_tour.png"))
    assert not found(browser, ERRORS)
    printed = [output.text for output in found(browser, ".jp-OutputArea-output") if output.text]
    assert len(printed) == 2 and not any("warning" in text.lower() for text in printed)  # the words found
    steps = ["1-draw", "2-erase", "3-attack", "4-robustify"]
    assert len(pictures(browser)) == len(steps) and min(pictures(browser)) > 300
    assert all((copy / "out" / f"00_tour-{step}.png").exists() for step in steps)
    before, after = saved(browser, copy, "00_tour")
    assert before == after and len(pictures(browser)) == len(steps)  # on the page, not in the file


def test_opening_and_saving_changes_no_byte(browser, address, copy):
    opened(browser, address.format("table5"))
    time.sleep(2)  # the kernel tells what it is
    before, after = saved(browser, copy, "table5")
    assert before == after
