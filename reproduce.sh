#!/usr/bin/env bash
# The door: make .venv once from requirements.lock, then hand over to `python -m advunlearn_lib.cli`.
#   ./reproduce.sh table3       ./reproduce.sh test       ./reproduce.sh --help
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
venv=$here/.venv
lock=$here/requirements.lock
stamp=$venv/.installed   # a copy of the lock file, written last: its absence means a half-made environment

if ! cmp -s "$lock" "$stamp" || ! "$venv/bin/python" -c '' 2>/dev/null; then
  python=${PYTHON:-python3}
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "error: Python 3.11 or newer is needed (set PYTHON=/path/to/python3.11)" >&2
    exit 2
  fi
  if [ -L "$venv" ]; then   # to make it anew would empty what the link leads to
    echo "error: $venv is a link, and what it leads to does not have what requirements.lock says; remove the link" >&2
    exit 2
  fi
  echo "setting up .venv (once; a few minutes)" >&2
  rm -f "$stamp"
  "$python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --no-deps --require-hashes --requirement "$here/requirements-hashes.lock"
  "$venv/bin/python" -m pip install --quiet --requirement "$lock"   # torch, and what it needs here
  # so that `import advunlearn_lib` works in JupyterLab too
  "$venv/bin/python" -c 'import pathlib, sys, sysconfig
pathlib.Path(sysconfig.get_path("purelib"), "advunlearn_lib.pth").write_text(sys.argv[1] + "\n")' "$here"
  cp "$lock" "$stamp"
fi
export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
exec "$venv/bin/python" -m advunlearn_lib.cli "$@"
