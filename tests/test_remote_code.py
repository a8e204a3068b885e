"""No code that comes with weights runs, whatever their folder asks for and the user answers."""

import ast
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.weights import load_part
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.metrics.judges import Classifier, load_judge
from advunlearn_lib.profiles.pocket import POCKET

JUDGE = f"{POCKET.judges}/judge-object"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TRAP = """
import pathlib
pathlib.Path({mark!r}).touch()
class Trap:
    from_pretrained = classmethod(lambda cls, *_, **__: cls())
    from_config = classmethod(lambda cls, *_, **__: cls())
class TrapConfig(Trap):
    model_type = "trap"
"""
AUTO_MAP = {
    name: f"trap.{cls}"
    for name, cls in {
        "AutoConfig": "TrapConfig", "AutoModel": "Trap", "AutoModelForImageClassification": "Trap",
        "AutoImageProcessor": "Trap", "AutoProcessor": "Trap", "AutoTokenizer": "Trap",
    }.items()
}  # fmt: skip


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """The file that exists once the code has run; the user says yes to whatever is asked."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "it ran"


def copied(source, folder, mark):
    """A copy of a model's folder, with the code in each of its parts."""
    shutil.copytree(source, folder)
    for place in (folder, *(path for path in folder.iterdir() if path.is_dir())):
        (place / "trap.py").write_text(TRAP.format(mark=str(mark)))
    return folder


def changed(file, **changes):
    """A JSON file, with some of its values changed."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def refused(load, *arguments):
    """The one line that is said instead."""
    with pytest.raises(UserError) as error:
        load(*arguments)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    return str(error.value)


@pytest.mark.parametrize(("entry", "value"), [
    ("_class_name", ["trap", "Trap"]),
    ("unet", ["trap", "Trap"]),
    ("scheduler", ["trap", "Trap"]),
    ("tokenizer", ["os", "system"]),
    ("text_encoder", ["transformers", "AutoModel"]),
    ("tokenizer", ["transformers", "AutoTokenizer"]),
    ("unet", ["diffusers", "AutoModel"]),
])  # fmt: skip
def test_a_pipelines_own_classes_are_refused(tmp_path, mark, entry, value):
    folder = copied(POCKET.base, tmp_path / "base", mark)
    changed(folder / "model_index.json", **{entry: value})
    said = refused(load_model, folder)
    assert not mark.exists() and ("is never run" in said or "unknown pipeline class" in said)


def test_a_module_in_the_working_folder_is_not_imported(tmp_path, mark, monkeypatch):
    folder = copied(POCKET.base, tmp_path / "base", mark)
    shutil.move(folder / "trap.py", tmp_path / "trap.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    for file in folder.glob("*/trap.py"):
        file.unlink()
    changed(folder / "model_index.json", scheduler=["trap", "Trap"])
    assert "scheduler" in refused(load_model, folder) and not mark.exists()


def part_of(folder, mark, kind):
    """A copy of what is loaded as ``kind``."""
    sources = {"base": POCKET.base, "clip": POCKET.clip, "judge": JUDGE, "features": JUDGE}
    return copied(sources.get(kind, Path(POCKET.base) / kind), folder, mark)


@pytest.mark.parametrize("kind", ["base", "text_encoder", "unet", "judge", "features", "clip"])
@pytest.mark.parametrize("changes", [{}, {"model_type": "trap", "_class_name": "Trap"}])
def test_a_folder_with_an_auto_map_is_refused(model, tmp_path, mark, kind, changes):
    folder = part_of(tmp_path / "part", mark, kind)
    for file in folder.rglob("*config.json"):
        changed(file, auto_map=AUTO_MAP, **changes)
    loaders = {
        "base": lambda: load_model(folder),
        "judge": lambda: load_judge(folder, ["church"], 0.5),
        "features": lambda: Classifier(folder),
        "clip": lambda: load_clip(folder),
    }
    said = refused(loaders.get(kind, lambda: load_part(folder, model, kind)))
    assert not mark.exists() and "config.json" in said and "is never run" in said


@pytest.mark.parametrize(("kind", "load"), [("judge", Classifier), ("clip", load_clip)])
def test_a_processor_of_its_own_is_refused(tmp_path, mark, kind, load):
    folder = part_of(tmp_path / "part", mark, kind)
    own = {"auto_map": AUTO_MAP, "processor_class": "Trap", "image_processor_type": "Trap"}
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).write_text(json.dumps(own))
    assert "is never run" in refused(load, folder) and not mark.exists()


@pytest.mark.parametrize(("kind", "load"), [("judge", Classifier), ("clip", load_clip)])
def test_what_a_hub_sent_does_not_run_either(tmp_path, mark, monkeypatch, kind, load):
    """A snapshot in the cache's layout; the hub is not asked. CLIP's own classes read what they know."""
    repository = tmp_path / "hub" / "models--owner--name"
    repository.mkdir(parents=True)
    folder = part_of(repository / "snapshots" / COMMIT, mark, kind)
    (repository / "refs").mkdir()
    (repository / "refs" / "pinned").write_text(COMMIT)
    for file in folder.glob("*config.json"):
        changed(file, auto_map=AUTO_MAP, model_type="trap", image_processor_type="Trap")
    for library in ("huggingface_hub.constants", "transformers.utils.hub", "huggingface_hub.file_download"):
        monkeypatch.setattr(f"{library}.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    if kind == "judge":
        assert "'owner/name@pinned' asks for code of its own" in refused(load, "owner/name@pinned")
    else:
        load("owner/name@pinned")
    assert not mark.exists()


class Dangerous:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", ["text_encoder", "unet", "judge", "clip", "base"])
def test_pickled_weights_that_would_run_code_are_refused(model, tmp_path, mark, kind):
    """A folder's .bin files, the format before safetensors."""
    folder = part_of(tmp_path / "part", mark, kind)
    for weights in list(folder.rglob("*.safetensors")):
        weights.unlink()
        diffusers = weights.name.startswith("diffusion")
        name = "diffusion_pytorch_model.bin" if diffusers else "pytorch_model.bin"
        torch.save({"state": Dangerous(mark)}, weights.with_name(name))
    loaders = {"judge": Classifier, "clip": load_clip, "base": load_model}
    refused(loaders.get(kind, lambda folder: load_part(folder, model, kind)), folder)
    assert not mark.exists()
    torch.load(next(folder.rglob("*.bin")), weights_only=False)
    assert mark.exists()  # the trap is one


SOURCES = [
    file for place in ("advunlearn_lib", "tools", "notebooks") for file in (ROOT / place).rglob("*.py")
]
FORBIDDEN = (
    r"\beval\(|\bexec\(|\byaml\.load\(|shell=True|pickle\.loads?\(|trust_remote_code=True|allow_pickle=True"
)


def test_no_source_runs_what_it_reads():
    assert len(SOURCES) > 150
    for file in SOURCES:
        text = file.read_text()
        found = [
            hit[0]
            for hit in re.finditer(FORBIDDEN, text)
            if hit[0] != "eval(" or text[hit.start() - 1] != "."
        ]
        assert not found, file
        for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
            name, words = (
                ast.unparse(call.func),
                {word.arg: ast.unparse(word.value) for word in call.keywords},
            )
            if name == "torch.load":
                assert words.get("weights_only") == "True", file
            if name == "np.load":
                assert words.get("allow_pickle", "False") == "False", file  # numpy's default
            owner, _, what = name.rpartition(".")
            if what == "from_pretrained" and re.search("Auto(?!encoder)|Processor|PIPELINE|Pipeline", owner):
                assert words.get("trust_remote_code") == "False", (file, name)
