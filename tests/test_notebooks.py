"""The notebook, executed as a user would: the smallest real run, then again from the store."""

import os
import subprocess

import pandas as pd

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.paper.reported import reported
from advunlearn_lib.paper.tables import COLUMNS


def test_table3_quick(tmp_path):
    environment = os.environ | {"ADVUNLEARN_STORE": str(tmp_path / "store")}
    command = [str(ROOT / "reproduce.sh"), "table3", "--quick", "--out", str(tmp_path / "out")]

    def run():
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    done = run()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "claim   3.1" in done.stdout and "QUICK RUN" in done.stdout
    table = (tmp_path / "out" / "table3.csv").read_bytes()
    frame = pd.read_csv(tmp_path / "out" / "table3.csv", keep_default_na=False)
    assert tuple(frame.columns) == COLUMNS
    assert frame.reported.tolist() == [number.value for number in reported("3")]
    assert set(frame.concept) == {"nudity"} and set(frame.here) == {"weapon"}
    assert ((frame.low <= frame.reproduced) & (frame.reproduced <= frame.high)).all()
    assert frame.query("method == 'SD v1.4' and metric == 'asr'").reproduced.item() == 100
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"table3.{suffix}" for suffix in ("csv", "json", "md", "tex", "html", "png")
    }
    for suffix in ("md", "html", "tex"):
        assert "QUICK RUN" in (tmp_path / "out" / f"table3.{suffix}").read_text()

    bar, cells = "table 3:", {path.name for path in (tmp_path / "store" / "pocket").iterdir()}
    again = run()
    assert again.returncode == 0 and (tmp_path / "out" / "table3.csv").read_bytes() == table
    assert bar in done.stderr and bar not in again.stderr  # what is finished is not computed again
    assert {path.name for path in (tmp_path / "store" / "pocket").iterdir()} == cells
