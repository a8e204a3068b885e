"""What a notebook in Colab lacks: packages, the clone first on every path, a profile its machine can run.

A cell of each notebook clones the repository and runs this file from there, so it imports nothing beyond the
standard library before that is installed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
COLABS_OWN = ("ipykernel",)  # another version than Colab's would cost the open notebook its kernel


def prepare(profile: str) -> str:
    """Install what is missing, put the clone first, for workers too, and return the profile to run.

    Raises ``RuntimeError`` where pip cannot install it.
    """
    install()
    sys.path.insert(0, str(CLONE))
    elsewhere = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(CLONE), *elsewhere])
    return runnable(profile)


def install() -> None:
    """Have pip install the package's requirements; what is there and fits stays as it is."""
    requirements = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = [requirement for requirement in requirements if not requirement.startswith(COLABS_OWN)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run([*pip, *needed], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip could not install what is missing: {done.stderr.strip()}")


def runnable(profile: str) -> str:
    """``profile`` where there is a GPU, and ``pocket``, which needs none, where not."""
    import torch  # only now: it may have been missing

    if profile == "pocket" or torch.cuda.is_available():
        return profile
    print(f"no GPU here: profile pocket instead of {profile}")
    return "pocket"
