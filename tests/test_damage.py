"""Whatever happens to a file of a finished cell: it is named in one line, set aside, and made again."""

import hashlib
import json
import multiprocessing
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from advunlearn_lib.base import keys
from advunlearn_lib.base.store import Store

FILES = {  # of each kind of cell, beside its record
    "prompts": ["targets.safetensors"],
    "erase": ["weights/config.json", "weights/model.safetensors"],
    "attack": [],
    "quality": ["pictures.safetensors"],
    "bank": ["tensors.safetensors"],
}
PLACES = [(kind, file) for kind, files in FILES.items() for file in ["result.json", *files]]
TEXTS = [place for place in PLACES if place[1].endswith(".json")]


def said(number):
    """What a cell's result and its configuration say."""
    return {"prompt": f"a church {number}", "after": True, "before": False, "value": 0.25}


class Cells:
    """The two cells of a kind, as they are made; how often each was."""

    def __init__(self, root: Path, kind: str) -> None:
        self.store, self.kind, self.made = Store(root), kind, [0, 0]

    def folder(self, number: int) -> Path:
        return self.store.folder(self.kind, {"number": number})

    def result(self, number: int):
        def compute(folder):
            self.made[number] += 1
            for name in FILES[self.kind]:
                (folder / name).parent.mkdir(exist_ok=True)
                if name.endswith(".json"):
                    (folder / name).write_text(json.dumps(said(number)))
                else:
                    save_file({"x": torch.arange(6.0) + number}, folder / name)
            return said(number)

        return self.store.cell(self.kind, {"number": number}, compute)["result"]

    def content(self, number: int):
        files = [path for path in self.folder(number).rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files if path.name != "result.json"}


def put(path, content):
    """In the place of a file that may be linked or mapped into memory."""
    path.unlink()
    path.write_bytes(content)


def rewritten(change):
    """The damage that ``change`` does to the bytes of a file; it must do some."""

    def damage(path, other):
        content = path.read_bytes()
        assert change(content) != content
        put(path, change(content))

    return damage


def flipped(place):
    """One bit of the byte at this share of the file."""

    def change(content):
        at = int(place * (len(content) - 1))
        return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]

    return change


def swapped(path, other):
    mine, theirs = path.read_bytes(), other.read_bytes()
    assert mine != theirs
    put(path, theirs)
    put(other, mine)


def folder_instead(path, other):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "first bit": rewritten(flipped(0)),
    "a bit": rewritten(flipped(0.5)),
    "last bit": rewritten(flipped(1)),
    "a byte less": rewritten(lambda content: content[:-1]),
    "a byte more": rewritten(lambda content: content + b"\0"),
    "half": rewritten(lambda content: content[: len(content) // 2]),
    "empty": rewritten(lambda content: b""),
    "garbage": rewritten(lambda content: b"garbage"),
    "no UTF-8": rewritten(lambda content: b"\xff" + content[1:]),
    "missing": lambda path, other: path.unlink(),
    "a folder": folder_instead,
    "another cell's": swapped,
}
OF_TEXTS = {
    "a digit": rewritten(lambda content: content.replace(b"0.25", b"0.26")),
    "true": rewritten(lambda content: content.replace(b"true", b"false")),
    "false": rewritten(lambda content: content.replace(b"false", b"true")),
    "a letter": rewritten(lambda content: content.replace(b"church", b"charch")),
    "a string": rewritten(lambda content: content.replace(b"0.25", b'"0.25"')),
    "null": rewritten(lambda content: b"null"),
    "a number": rewritten(lambda content: b"7"),
    "a list": rewritten(lambda content: b"[" + content + b"]"),
    "an empty object": rewritten(lambda content: b"{}"),
    "too deep": rewritten(lambda content: b"[" * 100_000),
}
CASES = [(*place, damage) for place in PLACES for damage in DAMAGES.items()]
CASES += [(*place, damage) for place in TEXTS for damage in OF_TEXTS.items()]


def another_process(monkeypatch):
    """None has been read yet: as another process sees the store."""
    monkeypatch.setattr(keys, "_digests", {})


@pytest.mark.parametrize(
    ("kind", "file", "damage"), CASES, ids=[f"{kind}-{file}-{damage[0]}" for kind, file, damage in CASES]
)
def test_damage_is_named_set_aside_and_mended(tmp_path, monkeypatch, capsys, kind, file, damage):
    cells = Cells(tmp_path, kind)
    results, contents = [cells.result(0), cells.result(1)], [cells.content(0), cells.content(1)]
    path, other = (cells.folder(number) / file for number in (0, 1))
    damage[1](path, other)
    damaged = path.read_bytes() if path.is_file() else None
    another_process(monkeypatch)
    assert cells.result(0) == results[0] and cells.content(0) == contents[0] and cells.made == [2, 1]
    line = capsys.readouterr().out
    aside = cells.folder(0).with_name(f"{cells.folder(0).name}.damaged-1")
    assert line.startswith(f"the stored result {path} is damaged (") and line.count("\n") == 1
    assert line.endswith(f"); set aside as {aside.name}, computing it again\n")
    assert (aside / file).read_bytes() == damaged if damaged is not None else not (aside / file).is_file()
    assert cells.result(1) == results[1] and cells.content(1) == contents[1]
    assert cells.made == [2, 2 if damage[0] == "another cell's" else 1]
    another_process(monkeypatch)
    capsys.readouterr()
    assert cells.result(0) == results[0] and cells.made[0] == 2 and capsys.readouterr().out == ""


def test_what_the_cell_did_not_make_is_damage_but_hidden_files_are_none(tmp_path, monkeypatch, capsys):
    cells = Cells(tmp_path, "erase")
    cells.result(0)
    (cells.folder(0) / "weights" / ".DS_Store").write_text("a file manager's")
    (cells.folder(0) / "checkpoint.safetensors.damaged-1").write_text("set aside while it was made")
    cells.result(0)
    assert cells.made == [1, 0] and capsys.readouterr().out == ""
    (cells.folder(0) / "weights" / "model.safetensors.index.json").write_text("{}")  # would be read first
    cells.result(0)
    assert (
        cells.made == [2, 0]
        and "index.json is damaged (it is no file of this cell)" in capsys.readouterr().out
    )


def test_a_cell_of_before_the_hashes_is_made_again(tmp_path, capsys):
    cells = Cells(tmp_path, "quality")
    cells.result(0)
    path = cells.folder(0) / "result.json"
    record = json.loads(path.read_text())
    put(path, json.dumps({name: record[name] for name in record.keys() - {"files", "sha256"}}).encode())
    cells.result(0)
    assert cells.made == [2, 0] and "(it has no SHA-256: an older version made it)" in capsys.readouterr().out


def test_a_cell_under_another_kinds_name_is_refused(tmp_path, capsys):
    cells, others = Cells(tmp_path, "quality"), Cells(tmp_path, "bank")
    cells.result(0)
    cells.folder(0).rename(others.folder(0))
    assert others.result(0) == said(0) and others.made == [1, 0]
    assert "(it is another cell's)" in capsys.readouterr().out


def test_what_was_set_aside_is_kept_however_often(tmp_path, capsys):
    cells = Cells(tmp_path, "attack")
    for number in range(3):
        cells.result(0)
        put(cells.folder(0) / "result.json", b"%d" % number)
    cells.result(0)
    asides = sorted(tmp_path.glob("*.damaged-*"))
    assert [(path.name[-2:], (path / "result.json").read_text()) for path in asides] == [
        ("-1", "0"), ("-2", "1"), ("-3", "2")
    ]  # fmt: skip
    assert len(cells.store.records()) == 1


def mend(root: Path, log: Path) -> None:
    """What each of several processes does."""
    cells = Cells(root, "erase")
    cells.result(0)
    with log.open("a") as file:
        file.write("made " * cells.made[0])


def test_processes_that_meet_the_same_damage_mend_it_once(tmp_path):
    cells = Cells(tmp_path / "store", "erase")
    cells.result(0)
    put(cells.folder(0) / "weights" / "config.json", b"{}")
    workers = [
        multiprocessing.Process(target=mend, args=(tmp_path / "store", tmp_path / "log")) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "log").read_text() == "made "
    assert len(list((tmp_path / "store").glob("*.damaged-*"))) == 1


def test_a_process_reads_a_file_once(tmp_path, monkeypatch):
    cells, reads, plain = Cells(tmp_path, "erase"), [], hashlib.file_digest
    cells.result(0)
    another_process(monkeypatch)
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, name: reads.append(Path(file.name).name) or plain(file, name)
    )
    for _ in range(3):
        cells.result(0)
    assert sorted(reads) == ["config.json", "model.safetensors"]


def test_a_seal_is_of_what_json_gives_back(tmp_path):
    """Tuples, numbers as names, NaN: the hash is the same after reading."""
    store = Store(tmp_path)
    made = store.cell(
        "cell", {"a": (1, 2)}, lambda _: {"x": (1, 2.5), 10: 1e-300, 9: float("nan"), "é": "\ud800"}
    )
    assert json.dumps(store.read("cell", {"a": [1, 2]}), sort_keys=True) == json.dumps(made, sort_keys=True)
    assert made["result"]["x"] == [1, 2.5]
