"""The notebook, executed as a user would: the smallest real run, then again from the store."""

import os
import subprocess

import pandas as pd

from advunlearn_lib.base.paths import ROOT


def test_table3_quick(tmp_path):
    environment = os.environ | {"ADVUNLEARN_STORE": str(tmp_path / "store")}
    command = [str(ROOT / "reproduce.sh"), "table3", "--quick", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "claim   3.1" in done.stdout and "QUICK RUN" in done.stdout
    frame = pd.read_csv(tmp_path / "out" / "table3.csv", keep_default_na=False)
    reported = pd.DataFrame(cells.reported("3"))
    assert list(frame.columns) == cells.COLUMNS
    assert frame.reported.tolist() == reported.value.tolist() and set(frame.concept) == {"nudity (weapon)"}
    assert ((frame.low <= frame.reproduced) & (frame.reproduced <= frame.high)).all()
    assert frame.query("method == 'SD v1.4' and metric == 'asr'").reproduced.item() == 100
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        f"table3.{suffix}" for suffix in ("csv", "json", "md", "tex", "html", "png")
    }
    for suffix in ("md", "html", "tex"):
        assert "QUICK RUN" in (tmp_path / "out" / f"table3.{suffix}").read_text()

    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("result.json")}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("result.json")} == finished
