"""Build ``data/world/sprites.png``, the sprites that the emoji world is drawn with.

    npm pack emoji-datasource-google emoji-datasource-twitter @lobehub/fluent-emoji-3d
    python -m tools.pocket_model.build_atlas FOLDER_WITH_THE_THREE_TGZ_FILES

The artwork's licences are in NOTICE.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from PIL import Image

from advunlearn_lib.world.atlas import ARTISTS, SPRITE
from advunlearn_lib.world.things import THINGS

ARCHIVES = {  # artist -> (npm archive, path inside it)
    "noto": ("emoji-datasource-google-*.tgz", "package/img/google/64/{}.png"),
    "twemoji": ("emoji-datasource-twitter-*.tgz", "package/img/twitter/64/{}.png"),
    "fluent": ("lobehub-fluent-emoji-3d-*.tgz", "package/assets/{}.webp"),
}


def sprite(archive: tarfile.TarFile, pattern: str, codepoint: str) -> Image.Image:
    """The emoji cropped to what is visible, centred on a transparent 64 x 64 square."""
    members = set(archive.getnames())
    for code in (codepoint, f"{codepoint}-fe0f"):
        if pattern.format(code) in members:
            handle = archive.extractfile(pattern.format(code))
            assert handle is not None
            image = Image.open(io.BytesIO(handle.read())).convert("RGBA")
            image = image.crop(image.getchannel("A").point(lambda a: 255 * (a > 16)).getbbox())
            image.thumbnail((SPRITE, SPRITE), Image.Resampling.LANCZOS)
            scale = SPRITE / max(image.size)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.LANCZOS)
            square = Image.new("RGBA", (SPRITE, SPRITE))
            square.paste(image, ((SPRITE - image.width) // 2, (SPRITE - image.height) // 2))
            return square
    raise SystemExit(f"no emoji {codepoint} in {archive.name!r}")


def build(folder: Path, target: Path) -> None:
    """Read the three archives in ``folder`` and write the atlas to ``target``."""
    atlas = Image.new("RGBA", (SPRITE * len(ARTISTS), SPRITE * len(THINGS)))
    for column, (glob, pattern) in enumerate(ARCHIVES[artist] for artist in ARTISTS):
        with tarfile.open(next(folder.glob(glob))) as archive:
            for row, thing in enumerate(THINGS):
                atlas.paste(sprite(archive, pattern, thing.codepoint), (column * SPRITE, row * SPRITE))
    target.parent.mkdir(parents=True, exist_ok=True)
    atlas.save(target, optimize=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path("data/world/sprites.png"))
