"""Whether bf16 training gives fp32's results: ``python benchmarks/precision.py [ITEM]``, Table 3 unless told.

Every model of the item is trained in both precisions from the same seeds (pictures are always made in fp32).
Prints each cell with both 95 % intervals and whether they overlap; exits with 1 if any pair does not.
"""

from __future__ import annotations

import sys
import tempfile

import pandas as pd

from advunlearn_lib.report.item import Item, Run


def reproduced(item: str, precision: str) -> pd.DataFrame:
    """The item's cells under ``precision``: what was measured and its interval."""
    with tempfile.TemporaryDirectory() as folder:
        Item(item, Run(overrides=[f"precision={precision}"], out=folder)).table()
        frame = pd.read_csv(f"{folder}/{item}.csv")
    return frame.set_index(["method", "component", "metric"])[["reproduced", "low", "high"]]


def main() -> int:
    """Compare cell by cell."""
    item = sys.argv[1] if len(sys.argv) > 1 else "table3"
    both = reproduced(item, "fp32").add_suffix("_fp32").join(reproduced(item, "bf16").add_suffix("_bf16"))
    both["overlap"] = (both.low_fp32 <= both.high_bf16) & (both.low_bf16 <= both.high_fp32)
    print(both.round(1).to_string())
    return 0 if both.overlap.all() else 1


if __name__ == "__main__":
    sys.exit(main())
