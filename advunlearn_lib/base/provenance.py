"""Which code made a result."""

from __future__ import annotations

import subprocess
from functools import cache

from advunlearn_lib.base.paths import ROOT


@cache
def commit() -> str:
    """The code's git commit, with ``+`` when the tree differs from it; "unknown" outside a checkout."""
    compared = ("git", "diff", "--quiet", "HEAD", "--", "advunlearn_lib", "data")
    try:
        sha = subprocess.run(
            ["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        changed = subprocess.run(compared, cwd=ROOT, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return sha.stdout.strip() + ("+" if changed else "")
