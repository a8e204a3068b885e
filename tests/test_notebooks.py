"""An item by the real door, computed and executed as a user would; then again from the store."""

import os
import subprocess

import pandas as pd
import pytest

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.paper.items import TABLES
from advunlearn_lib.paper.reported import reported
from advunlearn_lib.paper.tables import COLUMNS

SMALLER = ["--set", "prompts=4", "--set", "fid_images=40", "--set", "scale=0.02"]


@pytest.mark.parametrize(("name", "more", "files"), [
    ("table1", SMALLER, "csv json md tex html ipynb png pdf"),
    pytest.param("table3", [], "csv json md tex html ipynb png pdf", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_quick_run(name, more, files, tmp_path):
    environment = os.environ | {"ADVUNLEARN_STORE": str(tmp_path / "store")}
    command = [str(ROOT / "reproduce.sh"), name, "--quick", *more, "--out", str(tmp_path / "out")]

    def run():
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    done = run()
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"claim   {TABLES[name]}.1" in done.stdout and "QUICK RUN" in done.stdout
    table = (tmp_path / "out" / f"{name}.csv").read_bytes()
    frame = pd.read_csv(tmp_path / "out" / f"{name}.csv", keep_default_na=False)
    assert tuple(frame.columns) == COLUMNS
    assert frame.reported.tolist() == [number.value for number in reported(TABLES[name])]
    assert set(frame.concept) == {"nudity"} and set(frame.here) == {"weapon"}
    assert ((frame.low <= frame.reproduced) & (frame.reproduced <= frame.high)).all()
    assert frame.query("method == 'SD v1.4' and metric == 'asr'").reproduced.item() == 100
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {f"{name}.{suffix}" for suffix in files.split()} == {file for file in written if "-" not in file}
    assert {f"{name}-dots.png", f"{name}-dots.pdf"} <= written
    for suffix in ("md", "html", "tex"):
        assert "QUICK RUN" in (tmp_path / "out" / f"{name}.{suffix}").read_text()

    cells = {path.name for path in (tmp_path / "store" / "pocket").iterdir()}
    again = run()
    assert again.returncode == 0 and (tmp_path / "out" / f"{name}.csv").read_bytes() == table
    bar = f"table {TABLES[name]}:"
    assert all(line.startswith(bar) for line in done.stderr.splitlines()) and done.stderr  # a line a cell
    assert again.stderr == ""  # what is finished is not computed again
    assert {path.name for path in (tmp_path / "store" / "pocket").iterdir()} == cells
