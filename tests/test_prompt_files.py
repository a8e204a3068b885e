"""The paper profile's prompt files.

Real ones where ADVUNLEARN_PROMPTS names a folder of them, their like everywhere.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.data.official import RETAIN, SHA256, OfficialFiles, address
from advunlearn_lib.metrics.fid import Statistics
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.schema import RetainList

REAL = os.environ.get("ADVUNLEARN_PROMPTS")


@pytest.fixture
def folder(tmp_path):
    rows = {
        "prompt": ["A church.", "Old church."],
        "evaluation_seed": [7, 8],
        "evaluation_guidance": [7.5, 12.0],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "church.csv", index=False)
    pd.DataFrame(rows).drop(columns="evaluation_guidance").to_csv(tmp_path / "coco_10k.csv", index=False)
    pd.DataFrame(
        {"case_num": [1, 2, 3], "prompt": ["a photo of bat", "a photo of hoop", "a photo of bat"]}
    ).to_csv(tmp_path / "coco_object_retain.csv", index=False)
    return tmp_path


def official(folder, **more):
    return OfficialFiles(PAPER.model_copy(update={"prompts_dir": str(folder)} | more))


def candidates(files, name, count):
    concept = PAPER.concepts[name]
    return files.evaluation(concept.kind, concept.labels, concept.prompts, count)


def test_each_row_keeps_its_seed_and_guidance(folder):
    files = official(folder)
    assert [(p.text, p.seed, p.guidance_scale) for p in candidates(files, "Church", 9)] == [
        ("A church.", 7, 7.5),
        ("Old church.", 8, 12.0),
    ]
    assert len(candidates(files, "Church", 1)) == 1
    assert files.captions(9, []) == (["A church.", "Old church."], [7, 8])
    assert files.retain_set([], RetainList("coco", True)) == [
        "a photo of bat",
        "a photo of hoop",
        "a photo of bat",  # a repeated row counts twice, as in the official code
    ]


def test_other_files_make_another_recipe(folder):
    files = official(folder)
    before = files.evaluation_recipe("church.csv")
    assert before == {"church.csv": hashlib.sha256((folder / "church.csv").read_bytes()).hexdigest()}
    (folder / "church.csv").write_text((folder / "church.csv").read_text() + "Big church.,9,7.5\n")
    assert files.evaluation_recipe("church.csv") != before


def test_bad_files_are_named(folder):
    files = official(folder)
    with pytest.raises(UserError, match=r"has no tench\.csv"):
        candidates(files, "Tench", 5)
    pd.DataFrame({"prompt": ["x"]}).to_csv(folder / "tench.csv")
    with pytest.raises(
        UserError,
        match="has no column 'evaluation_seed' \\(needed: prompt, evaluation_seed, evaluation_guidance\\)",
    ):
        candidates(files, "Tench", 5)
    (folder / "tench.csv").write_text("prompt,evaluation_seed,evaluation_guidance\n")
    with pytest.raises(UserError, match="has no rows"):
        candidates(files, "Tench", 5)
    with pytest.raises(UserError, match="FID needs the COCO reference"):
        files.captions_recipe()


def test_reference_pictures_or_statistics(folder):
    (folder / "real").mkdir()
    Image.new("RGB", (20, 10), (255, 0, 0)).save(folder / "real" / "b.png")
    Image.new("L", (8, 8), 255).save(folder / "real" / "a.jpg")
    small, wide = official(folder, reference=str(folder / "real")).references(9, [])
    assert small.shape == (3, 8, 8) and torch.equal(
        wide, torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 10, 20)
    )
    np.savez(folder / "coco.npz", mu=np.arange(4.0), sigma=np.eye(4))
    statistics = official(folder, reference=str(folder / "coco.npz")).references(9, [])
    assert isinstance(statistics, Statistics) and statistics.mu.tolist() == [0, 1, 2, 3]
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="neither a folder of pictures"):
        official(folder, reference=str(folder / "empty")).captions_recipe()


def test_every_file_the_profile_names_has_an_address_and_a_checksum():
    named = {concept.prompts for concept in PAPER.concepts.values()} | set(RETAIN.values()) | {"coco_10k.csv"}
    assert named == set(SHA256)
    assert all(
        address(name).endswith(f"/{name}") and len(checksum) == 64 for name, checksum in SHA256.items()
    )


@pytest.mark.skipif(not REAL, reason="ADVUNLEARN_PROMPTS names no folder")
def test_the_real_files_are_the_papers():
    folder = Path(str(REAL))
    present = [name for name in SHA256 if (folder / name).exists()]
    assert present and all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() == SHA256[name] for name in present
    )
    files = official(folder)
    for concept in ("Van Gogh", "Church", "Tench"):
        assert len(candidates(files, concept, 142)) == 50
    assert len(files.captions(10_000, [])[0]) == 10_000
    assert [len(files.retain_set([], wanted)) for wanted in RETAIN] == [243] * 4
