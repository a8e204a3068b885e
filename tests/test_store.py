import json
import multiprocessing
from pathlib import Path

import pytest
import torch

from advunlearn_lib.base import checkpoint
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.keys import fingerprint, key_of
from advunlearn_lib.base.store import Store


def test_a_cell_is_computed_once_and_keyed_by_content(tmp_path):
    store, calls = Store(tmp_path), []
    for recipe in ({"a": 1, "b": [2]}, {"b": [2], "a": 1}):
        record = store.cell("cell", recipe, lambda folder: calls.append(folder) or {"x": 1.5})
        assert record["result"] == {"x": 1.5}
    assert len(calls) == 1 and key_of({"a": 1}) != key_of({"a": 2})


def test_a_failed_cell_keeps_its_files_and_resumes(tmp_path):
    store = Store(tmp_path)

    def compute(folder: Path):
        if not (folder / "checkpoint").exists():
            (folder / "checkpoint").write_text("half")
            raise KeyboardInterrupt
        return (folder / "checkpoint").read_text()

    with pytest.raises(KeyboardInterrupt):
        store.cell("cell", {"a": 1}, compute)
    assert store.read("cell", {"a": 1}) is None
    assert store.cell("cell", {"a": 1}, compute)["result"] == "half"
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("damage", ["{", '{"recipe": {"a": 2}, "result": 3}', "{}"])
def test_a_damaged_result_is_named_and_computed_again(tmp_path, capsys, damage):
    store = Store(tmp_path)
    store.cell("cell", {"a": 1}, lambda _: 1)
    path = store.folder("cell", {"a": 1}) / "result.json"
    path.write_text(damage)
    assert store.cell("cell", {"a": 1}, lambda _: 2)["result"] == 2
    assert str(path) in capsys.readouterr().out and json.loads(path.read_text())["result"] == 2


def slow(root: Path, log: Path) -> None:
    def compute(_: Path) -> int:
        with log.open("a") as file:
            file.write("x")
        return 1

    Store(root).cell("cell", {"a": 1}, compute)


def test_two_processes_share_the_work(tmp_path):
    workers = [
        multiprocessing.Process(target=slow, args=(tmp_path / "store", tmp_path / "log")) for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "log").read_text() == "x"


def test_an_unwritable_store_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the store"):
        Store(tmp_path / "file" / "store")


def test_fingerprints_depend_on_content_not_place(tmp_path):
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    a, b, c = (fingerprint(tmp_path / name) for name in "abc")
    assert a == b != c


def test_checkpoints_restore_weights_and_moments(tmp_path):
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint.save(tmp_path / "c.safetensors", {"layer": layer}, optimizer, step=1)
    other = torch.nn.Linear(3, 2)
    restored = torch.optim.Adam(other.parameters(), 0.1)
    assert checkpoint.load(tmp_path / "c.safetensors", {"layer": other}, restored) == {"step": 1}
    for module, adam in ((layer, optimizer), (other, restored)):
        adam.zero_grad()
        module(torch.ones(1, 3)).square().sum().backward()
        adam.step()
    assert torch.equal(layer.weight, other.weight)


def test_atomic_leaves_nothing_behind(tmp_path):
    def half():
        with checkpoint.atomic(tmp_path / "x") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert not list(tmp_path.iterdir())
