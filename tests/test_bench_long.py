"""``bench --long``: both ways are trained and judged, and the rows of one run are not taken for another's."""

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from advunlearn_lib.cli.main import main
from benchmarks import long


@pytest.mark.slow
def test_the_smallest_long_run_judges_both_sides(tmp_path):
    assert main(["bench", "--long", "--quick", "--out", str(tmp_path)]) == 0
    (row,) = pd.read_csv(tmp_path / "bench" / "long.csv").to_dict("records")
    assert row["seed"] == 0 and row["ratio"] > 0
    assert {f"{side}, {name}" for side in ("official", "ours") for name in ("ASR (%)", "fid")} <= set(row)


def test_a_long_run_goes_on_with_the_next_seed_and_takes_no_other_runs_rows(tmp_path, monkeypatch):
    """A quick run's row, in the same folder, stood for a whole one's."""
    asked, here, machines = [], ["0123456789"], ["one"]

    def both(seed, quick):
        asked.append(seed)
        if seed == 1 and len(asked) == 3:
            raise KeyboardInterrupt
        return {"seed": seed, "iterations": 2 if quick else long.ITERATIONS, "commit": here[0],
                "machine": machines[0]}  # fmt: skip

    monkeypatch.setattr(long, "ProcessPoolExecutor", lambda *given: ThreadPoolExecutor(1))
    monkeypatch.setattr(long, "both", both)
    monkeypatch.setattr(long, "commit", lambda: here[0])
    monkeypatch.setattr(long, "machine", lambda threads: machines[0])
    long.run_long(tmp_path, quick=True)
    with pytest.raises(KeyboardInterrupt):
        long.run_long(tmp_path)
    assert pd.read_csv(tmp_path / "long.csv").seed.tolist() == [0]
    asked.clear()
    assert long.run_long(tmp_path).seed.tolist() == [0, 1, 2] and asked == [1, 2]
    machines[0] = "another"
    long.run_long(tmp_path)
    assert asked == [1, 2, 0, 1, 2]
    for other in ("9876543210", "9876543210+", "9876543210+"):  # a changed tree is nobody's commit
        here[0] = other
        long.run_long(tmp_path)
    assert asked == [1, 2, *[0, 1, 2] * 4]
