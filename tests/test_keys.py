"""Keys follow content: what changes a model, a bank or a reference changes its key, and nothing else does."""

import ast
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.keys import fingerprint, key_of, key_of_files
from advunlearn_lib.base.store import Cache, Store
from advunlearn_lib.data.reference import reference_key
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.erasure.advunlearn_options import AdvUnlearnOptions
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.profiles.pocket import POCKET


def folder(path, **files):
    """A model folder; ``__`` in a name is a slash, ``_`` before the ending a dot."""
    for name, content in files.items():
        file = path / name.replace("__", "/").replace("_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode())
    return path


def test_weights_of_every_format_count(tmp_path):
    for ending in ("bin", "safetensors", "pt", "ckpt", "msgpack", "gguf"):
        one, two, three = (
            folder(tmp_path / ending / name, config_json="{}", **{f"unet__model_{ending}": content})
            for name, content in (("a", "old"), ("b", "new"), ("c", "old"))
        )
        assert fingerprint(one) != fingerprint(two) and fingerprint(one) == fingerprint(three), ending


def test_a_vocabulary_counts(tmp_path):
    files = {"config_json": "{}", "model_bin": "w"}
    one, two = (folder(tmp_path / word, **files, tokenizer__merges_txt=word) for word in ("a b", "b a"))
    assert fingerprint(one) != fingerprint(two)


def test_a_files_name_counts(tmp_path):
    one = folder(tmp_path / "a", config_json="{}", unet__model_bin="w")
    two = folder(tmp_path / "b", config_json="{}", vae__model_bin="w")
    assert fingerprint(one) != fingerprint(two)


def test_documentation_and_hidden_files_do_not_count(tmp_path):
    plain = folder(tmp_path / "a", config_json="{}", unet__model_bin="w")
    beside = {"README_md": "a card", "unet__README_md": "more", "LICENSE": "MIT", "sample_PNG": "picture"}
    hidden = {".git__HEAD": "ref", ".cache__huggingface__model_bin": "w"}
    dressed = folder(tmp_path / "b", config_json="{}", unet__model_bin="w", **beside)
    for name, content in hidden.items():
        folder(dressed, **{name.replace(".", "_", 1): content})
    assert fingerprint(plain) == fingerprint(dressed)


def test_a_file_stands_for_its_content_and_a_hub_id_for_itself(tmp_path):
    for name, content in (("a.pt", "1"), ("b.pt", "1"), ("c.pt", "2")):
        (tmp_path / name).write_text(content)
    a, b, c = (fingerprint(tmp_path / name) for name in ("a.pt", "b.pt", "c.pt"))
    assert a == b != c
    assert fingerprint("owner/name@abc") == "owner/name@abc"
    with pytest.raises(UserError, match="is empty"):
        fingerprint(folder(tmp_path / "empty", README_md="a card"))


def test_the_order_of_files_and_of_a_recipes_names_does_not_count(tmp_path):
    files = [folder(tmp_path, a_bin="1", b_bin="2") / name for name in ("a.bin", "b.bin")]
    assert key_of_files(files, tmp_path) == key_of_files(files[::-1], tmp_path)
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1}) != key_of({"a": 1, "b": [2, 1]})
    assert len(key_of({})) == 16


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("esd", {"steps": 2, "per_prompt": 2}),
        ("fmn", {"sampling_steps": 1, "per_prompt": 2, "guidance_scale": 1.0}),
    ],
)
def test_two_precisions_share_no_cache(model, tmp_path, method, options):
    rounded = load_model(POCKET.base, dtype=torch.bfloat16)

    def cells(one, **more):
        cache = Cache(Store(tmp_path), {"base": "pocket"})
        prepare(method, Task(one, ["church"], cache=cache, **more), options)
        return {path.parent.name for path in tmp_path.rglob("*.safetensors")}

    first = cells(model)
    assert len(first) == 1 and cells(model) == first
    both = cells(rounded)
    assert len(both) == 2 and first < both and cells(rounded) == both
    assert len(cells(model, seed=1)) == 3


def test_without_a_cache_a_task_makes_its_tensors_once(model):
    made = []

    def make():
        made.append(1)
        return {"latents": torch.zeros(1)}

    task = Task(model, ["church"])
    one, two = task.tensors("bank", {"seed": 0}, make), task.tensors("bank", {"seed": 0}, make)
    assert one is two and len(made) == 1
    task.tensors("bank", {"seed": 1}, make)
    task.tensors("pictures", {"seed": 0}, make)
    Task(model, ["church"]).tensors("bank", {"seed": 0}, make)
    assert len(made) == 4


def test_a_references_key_is_its_contents(tmp_path):
    for name, sigma in (("a", np.eye(4)), ("b", 2 * np.eye(4))):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "coco.npz", mu=np.zeros(4), sigma=sigma)
    one, two = (tmp_path / name / "coco.npz" for name in "ab")
    assert one.stat().st_size == two.stat().st_size and reference_key(one) != reference_key(two)
    shutil.copy(one, tmp_path / "elsewhere.npz")
    assert reference_key(tmp_path / "elsewhere.npz") == reference_key(one)


def test_a_folder_of_pictures_key_is_its_contents(tmp_path):
    for name, tone in (("a", 10), ("b", 11), ("c", 10)):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("RGB", (8, 8), (tone, number, 0)).save(tmp_path / name / f"{number}.png")
    sizes = [[file.stat().st_size for file in sorted((tmp_path / name).iterdir())] for name in "ab"]
    a, b, c = (reference_key(tmp_path / name) for name in "abc")
    assert sizes[0] == sizes[1] and a == c != b
    (tmp_path / "c" / "notes.txt").write_text("no picture")
    assert reference_key(tmp_path / "c") == a
    Image.new("RGB", (8, 8)).save(tmp_path / "c" / "2.png")
    assert reference_key(tmp_path / "c") != a


PRINT_KEYS = """
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.base.keys import key_of
from advunlearn_lib.erasure.advunlearn_options import AdvUnlearnOptions
from advunlearn_lib.erasure.loop import check_options

quirks = set(sorted(AdvUnlearnOptions.QUIRKS))
two = {"word_count", "drop_last_update"}
print(list(quirks))
for options in (AdvUnlearnOptions(quirks=quirks), AdvUnlearnOptions(quirks=two), Budget(quirks=quirks),
                check_options("advunlearn", {"quirks": list(quirks)})):
    print(options.model_dump(mode="json")["quirks"], key_of(options.model_dump(mode="json")))
"""


def test_a_set_of_quirks_has_one_key_in_every_process(capsys):
    """In this one, and in another that holds the set in another order."""

    def printed(seed, script):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-W", "ignore", "-c", script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    exec(PRINT_KEYS, {})
    order, *keys = capsys.readouterr().out.splitlines()
    listed = f"print(list(set({sorted(AdvUnlearnOptions.QUIRKS)})))"
    seed = next(seed for seed in "12345" if printed(seed, listed).strip() != order)
    other_order, *other_keys = printed(seed, PRINT_KEYS).splitlines()
    assert sorted(ast.literal_eval(order)) == sorted(ast.literal_eval(other_order)) and order != other_order
    assert keys == other_keys and len(keys) == 4
    assert keys[1].startswith("['drop_last_update', 'word_count'] ") and keys[0] == keys[3]
    assert len({key.split()[-1] for key in keys}) == 3


@pytest.mark.parametrize("make", [AdvUnlearnOptions, Budget])
def test_quirks_are_written_in_order_and_read_back(make):
    one, other = make(quirks=["word_count", "adam_attack"]), make(quirks={"adam_attack", "word_count"})
    assert one == other and one.model_dump(mode="json")["quirks"] == ["adam_attack", "word_count"]
    assert make(**one.model_dump(mode="json")) == one and make(**one.model_dump()) == one
    assert key_of(one.model_dump(mode="json")) != key_of(make(quirks=["word_count"]).model_dump(mode="json"))
