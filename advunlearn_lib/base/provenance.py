"""Which code made a result."""

from __future__ import annotations

import subprocess
from functools import cache

from advunlearn_lib.base.paths import CODE


@cache
def commit() -> str:
    """The code's git commit, with ``+`` when the tree differs from it; "unknown" outside a checkout."""
    compared = ("git", "diff", "--quiet", "HEAD", "--", "advunlearn_lib", "data")
    tracked = ("git", "ls-files", "--error-unmatch", "advunlearn_lib/__init__.py")  # not a .venv inside it
    try:
        subprocess.run(tracked, cwd=CODE, capture_output=True, check=True)
        sha = subprocess.run(
            ["git", "rev-parse", "--short=10", "HEAD"], cwd=CODE, capture_output=True, text=True, check=True
        )
        changed = subprocess.run(compared, cwd=CODE, check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return sha.stdout.strip() + ("+" if changed else "")
