"""Recompress the PNGs of published pages without loss, those within notebooks too: ``pip install pyoxipng``.

Run it after ``--publish`` and before a commit; tracked files stay under 60 MB (tests/test_published.py).
Text in the files, such as the stamp, stays. ``python tools/smaller_pictures.py [FILE ...]``
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import oxipng

PUBLISHED = Path(__file__).parent.parent / "figures" / "published"


def smaller(picture: bytes) -> bytes:
    """The same pixels."""
    return oxipng.optimize_from_memory(picture, level=4, deflate=oxipng.Deflaters.zopfli(15))


def smaller_notebook(path: Path) -> None:
    """Replace its outputs' pictures where that saves anything."""
    text = path.read_text()
    for cell in json.loads(text)["cells"]:
        for output in cell.get("outputs", []):
            if picture := output.get("data", {}).get("image/png"):
                found = base64.b64decode(picture)
                if len(less := smaller(found)) < len(found):
                    text = text.replace(picture.strip(), base64.b64encode(less).decode())
    path.write_text(text)


def main() -> None:
    """Go through the files named, or all."""
    before = after = 0
    for path in map(Path, sys.argv[1:] or sorted(map(str, PUBLISHED.rglob("*")))):
        before += path.stat().st_size if path.suffix in (".png", ".ipynb") else 0
        if path.suffix == ".png":
            path.write_bytes(min(path.read_bytes(), smaller(path.read_bytes()), key=len))
        elif path.suffix == ".ipynb":
            smaller_notebook(path)
        after += path.stat().st_size if path.suffix in (".png", ".ipynb") else 0
    print(f"{before / 1e6:.2f} MB, now {after / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
