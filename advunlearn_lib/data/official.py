"""The paper profile's prompt files.

They are fetched once from the two official repositories, checked, and kept in the user's cache. None of them
is part of this project. ``prompts_dir`` takes local copies instead; their content is part of every result's
recipe, so results from other files never mix with these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import pooch
from torch import Tensor

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.data.prompt_files import read_prompts
from advunlearn_lib.data.reference import read_reference, reference_key
from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.profiles.schema import Profile, RetainList

RAW = "https://raw.githubusercontent.com"
ADVUNLEARN = f"{RAW}/OPTML-Group/AdvUnlearn/9d231249f9af13626e8bb9dcef5521f11d262498/data/prompts"
MU_ATTACK = f"{RAW}/OPTML-Group/Diffusion-MU-Attack/5a3e5d37fb8787113e5d479204ab593a60e303e0/prompts"


SHA256 = {
    "coco_10k.csv": "785b35c0586d7231790cb2139385a831cff9f631aa38725f84c9ee55376902f4",
    "coco_object_retain.csv": "05400ba3590d56f4f91d1830ccae8d074f24eb8956e9b10ab61b932d10b04a17",
    "coco_object_no_filter_retain.csv": "3d6458be74dc0c9695ca3678a6a20cf44caa5a05f7fcb0ddbafbb79a933be411",
    "imagenet243_retain.csv": "6957e3dc23a673b642b3ed3f896dd951bac5a557e2aadd571561cef19ae5f95e",
    "imagenet243_no_filter_retain.csv": "7e899f1fcab9fbc0e27e7b88da836eda84e1c73864b81dced60875d8a251b698",
    "nudity.csv": "0a40f6e63bca976513d1d56df71480239ba1eb5c7a9de4df2f535d80f6e0eccd",
    "vangogh.csv": "9d0b141b6674b5ef93be5a38c4d220ec56ca1ec096cdfdb5baf0932deca72362",
    "church.csv": "4987e201148cfa3bd3dabfb67e5681ca09e64155cdadf03b0a0c295269d2c18c",
    "garbage_truck.csv": "e561240be67ea653bac8dd22bc31d44ae6ccb88268b2e306448eea39feefa6cd",
    "parachute.csv": "f44fdef671aecf3f759ef53101e23b5cd614e3da6e2021c3c3d0a1c35a5fe0e5",
    "tench.csv": "6d5fc0988e40e7ef97e035031badf52e6a0e971b96be4bf277c2eee3c55f546d",
}
CAPTIONS = "coco_10k.csv"
RETAIN = {
    RetainList("coco", True): "coco_object_retain.csv",
    RetainList("coco", False): "coco_object_no_filter_retain.csv",
    RetainList("imagenet", True): "imagenet243_retain.csv",
    RetainList("imagenet", False): "imagenet243_no_filter_retain.csv",
}
COLUMNS = {CAPTIONS: ("prompt", "evaluation_seed"), **dict.fromkeys(RETAIN.values(), ("prompt",))}
ATTACKED = ("prompt", "evaluation_seed", "evaluation_guidance")


def locate(name: str, folder: Path | None) -> Path:
    """The file ``name``, in ``folder`` or in the user's cache.

    It is fetched and checked if it is not in the cache yet.
    """
    if folder is not None:
        if not (folder / name).is_file():
            raise UserError(f"the prompts folder {str(folder)!r} has no {name}")
        return folder / name
    checksum = SHA256[choose("prompt file", name, SHA256)]
    try:
        return Path(
            pooch.retrieve(
                address(name), f"sha256:{checksum}", name, pooch.os_cache("advunlearn_lib") / "prompts"
            )
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(
            f"cannot fetch {address(name)}: {reason}; give local copies with --prompts-dir"
        ) from error


def address(name: str) -> str:
    """Where the file is published."""
    if name in RETAIN.values():
        return f"{ADVUNLEARN}/train/{name}"
    return f"{ADVUNLEARN if name == CAPTIONS else MU_ATTACK}/{name}"


def read(name: str, folder: Path | None) -> list[EvaluationPrompt]:
    """A file's prompts. Raises :class:`UserError` for one that lacks a column or has no rows."""
    return read_prompts(locate(name, folder), COLUMNS.get(name, ATTACKED))


class OfficialFiles:
    """The paper profile's source of prompts, captions and reference pictures."""

    def __init__(self, profile: Profile) -> None:
        self.folder = Path(profile.prompts_dir) if profile.prompts_dir else None
        self.reference = Path(profile.reference) if profile.reference else None

    def fingerprint(self, *names: str) -> dict[str, str]:
        """SHA-256 of the files that a result rests on."""
        return {name: hashlib.sha256(locate(name, self.folder).read_bytes()).hexdigest() for name in names}

    def evaluation_recipe(self, file: str) -> dict[str, str]:
        """What the concept's file holds."""
        return self.fingerprint(file)

    def evaluation(self, kind: str, labels: Sequence[str], file: str, count: int) -> list[EvaluationPrompt]:
        """The prompts of the concept's file, at most ``count``."""
        return read(file, self.folder)[:count]

    def captions_recipe(self) -> dict[str, str]:
        """Which captions and which reference."""
        if self.reference is None:
            raise UserError(
                "FID needs the COCO reference: --set reference=FOLDER of pictures, or an .npz of mu and sigma"
            )
        return self.fingerprint(CAPTIONS) | {"reference": reference_key(self.reference)}

    def captions(self, count: int, avoid: Sequence[str]) -> tuple[list[str], list[int]]:
        """The first ``count`` of the 10,000 COCO captions, with their seeds.

        COCO knows none of the concepts to avoid.
        """
        rows = read(CAPTIONS, self.folder)[:count]
        return [row.text for row in rows], [row.seed for row in rows]

    def references(self, count: int, avoid: Sequence[str]) -> Iterable[Tensor] | Statistics:
        """COCO's pictures, each [3, h, w] in its own size, or the mean and covariance of their features."""
        assert self.reference is not None
        return read_reference(self.reference, count)

    def retain_set(self, avoid: Sequence[str], wanted: RetainList) -> list[str]:
        """A retain list; a repeated prompt counts as often, as in the official code."""
        return retain_prompts(wanted, self.folder)


def retain_prompts(wanted: RetainList, folder: Path | None = None) -> list[str]:
    """The official retain list ``wanted``, row by row: 243 prompts, a few of them twice."""
    return [row.text for row in read(RETAIN[wanted], folder)]
