import json
import multiprocessing
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from advunlearn_lib.base import store as store_module
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.keys import fingerprint, key_of
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.base.store import Cache, Store

DAMAGES = ["{", "", "{}", "[1]", "3", "null", '"recipe"', '{"recipe": [1, 2]}', '{"recipe": 7, "result": 3}']
DAMAGES += ['{"recipe": {"a": 2}, "result": 3}', '{"recipe": null}', '{"result": 3}']
DAMAGES += ['{"recipe": [1], "result": 3, "seconds": 1}', '{"recipe": {}, "result": 3, "seconds": "x"}']


def test_a_cell_is_computed_once_and_keyed_by_content(tmp_path):
    store, calls = Store(tmp_path), []
    for recipe in ({"a": 1, "b": [2]}, {"b": [2], "a": 1}):
        record = store.cell("cell", recipe, lambda folder: calls.append(folder) or {"x": 1.5})
        assert record["result"] == {"x": 1.5}
    assert len(calls) == 1 and key_of({"a": 1}) != key_of({"a": 2})


def test_a_record_says_what_made_it_and_how_long_that_took(tmp_path, monkeypatch):
    store, clock = Store(tmp_path), SimpleNamespace(monotonic=iter([100.0, 112.34]).__next__)
    monkeypatch.setattr(store_module, "time", clock)
    record = store.cell("some-cell", {"b": 1, "a": 2}, lambda _: "x")
    sealed = {name: record.pop(name) for name in ("files", "sha256")}
    assert record == {
        "kind": "some-cell", "recipe": {"a": 2, "b": 1}, "result": "x", "commit": commit(), "seconds": 12.3,
    }  # fmt: skip
    text = (store.folder("some-cell", {"b": 1, "a": 2}) / "result.json").read_text()
    assert text == json.dumps(record | sealed, indent=1, sort_keys=True)


def test_only_who_makes_a_cell_locks_it(tmp_path):
    store = Store(tmp_path)
    assert store.read("cell", {"a": 1}) is None and not list(tmp_path.iterdir())
    store.cell("cell", {"a": 1}, lambda _: 1)
    (tmp_path / f".{store.folder('cell', {'a': 1}).name}.lock").unlink()
    assert store.cell("cell", {"a": 1}, lambda _: 2) == store.read("cell", {"a": 1})
    assert list(tmp_path.iterdir()) == [store.folder("cell", {"a": 1})]


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


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_named_and_computed_again(tmp_path, capsys, damage):
    store = Store(tmp_path)
    store.cell("cell", {"a": 1}, lambda _: 1)
    path = store.folder("cell", {"a": 1}) / "result.json"
    path.write_text(damage)
    assert store.cell("cell", {"a": 1}, lambda _: 2)["result"] == 2
    assert str(path) in capsys.readouterr().out and json.loads(path.read_text())["result"] == 2


def test_a_damaged_cell_is_set_aside_when_it_is_read(tmp_path, capsys):
    store = Store(tmp_path)
    folder = store.cell("cell", {"a": 1}, lambda _: 1) and store.folder("cell", {"a": 1})
    (folder / "result.json").write_text("{")
    assert store.read("cell", {"a": 1}) is None and not folder.exists()
    assert f"set aside as {folder.name}.damaged-1" in capsys.readouterr().out


def lock_of_another(store, monkeypatch, work):
    """Who waits for a lock of ``store`` gets it from another process that did ``work`` meanwhile."""

    @contextmanager
    def lock(name):
        work()
        yield

    monkeypatch.setattr(store, "lock", lock)


def test_a_reader_takes_what_another_process_has_mended(tmp_path, monkeypatch, capsys):
    store, other = Store(tmp_path), Store(tmp_path)
    folder = store.cell("cell", {"a": 1}, lambda _: 1) and store.folder("cell", {"a": 1})
    (folder / "result.json").write_text("{")
    lock_of_another(store, monkeypatch, lambda: other.cell("cell", {"a": 1}, lambda _: 2))
    assert store.read("cell", {"a": 1})["result"] == 2
    assert capsys.readouterr().out.count("set aside") == 1  # by the other


def test_who_waits_for_a_cell_takes_it(tmp_path, monkeypatch):
    store, other = Store(tmp_path), Store(tmp_path)
    lock_of_another(store, monkeypatch, lambda: other.cell("cell", {"a": 1}, lambda _: 1))
    assert store.cell("cell", {"a": 1}, lambda _: 2)["result"] == 1


@pytest.mark.parametrize("damage", ['{"recipe": {"a": 1}}', '{"recipe": {"a": 1}, "result": 3}'])
def test_a_record_without_its_result_or_time_is_damaged(tmp_path, capsys, damage):
    store = Store(tmp_path)
    store.cell("cell", {"a": 1}, lambda _: 1)
    path = store.folder("cell", {"a": 1}) / "result.json"
    path.write_text(damage)
    assert store.cell("cell", {"a": 1}, lambda _: 2)["result"] == 2
    assert str(path) in capsys.readouterr().out


def test_records_leave_out_what_is_damaged(tmp_path):
    store = Store(tmp_path)
    for number in range(2):
        store.cell("some-cell", {"a": number}, lambda _, number=number: 10 * number)
    for number, damage in enumerate(DAMAGES, 3):
        store.cell("some-cell", {"a": number}, lambda _: None)
        (store.folder("some-cell", {"a": number}) / "result.json").write_text(damage)
    found = sorted((kind, record["result"]) for kind, record in store.records())
    assert found == [("some-cell", 0), ("some-cell", 10)]


def counted(calls):
    def make():
        calls.append(1)
        return {"x": torch.arange(6.0).view(2, 3).T, "y": torch.full((2,), len(calls))}

    return make


def test_tensors_are_made_once(tmp_path):
    store, calls = Store(tmp_path), []
    for _ in range(2):
        kept = store.tensors("bank", {"a": 1}, counted(calls))
        assert torch.equal(kept["x"], torch.arange(6.0).view(2, 3).T) and kept["y"].tolist() == [1, 1]
    assert len(calls) == 1
    assert store.tensors("bank", {"a": 2}, counted(calls))["y"].tolist() == [2, 2]
    assert store.tensors("pictures", {"a": 1}, counted(calls))["y"].tolist() == [3, 3]


@pytest.mark.parametrize("damage", [b"", b"broken", None])
def test_damaged_tensors_are_named_and_made_again(tmp_path, capsys, damage):
    store, calls = Store(tmp_path), []
    store.tensors("bank", {"a": 1}, counted(calls))
    path = store.folder("bank", {"a": 1}) / "tensors.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-8] if damage is None else damage)
    assert store.tensors("bank", {"a": 1}, counted(calls))["y"].tolist() == [2, 2]
    assert f"{path} is damaged" in capsys.readouterr().out and len(path.read_bytes()) == len(content)
    path.unlink()
    assert store.tensors("bank", {"a": 1}, counted(calls))["y"].tolist() == [3, 3]


def test_a_cache_keeps_models_apart(tmp_path):
    store, calls = Store(tmp_path), []
    one, two = (Cache(store, {"base": name}) for name in ("v1-4", "v1-5"))
    for cache, expected in ((one, 1), (two, 2), (one, 1)):
        assert cache.tensors("bank", {"a": 1}, counted(calls))["y"].tolist() == [expected] * 2


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
    with pytest.raises(UserError, match="cannot write the store '"):
        Store(tmp_path / "file" / "store")


def test_fingerprints_depend_on_content_not_place(tmp_path):
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    a, b, c = (fingerprint(tmp_path / name) for name in "abc")
    assert a == b != c


def test_atomic_leaves_nothing_behind(tmp_path):
    def half():
        with atomic(tmp_path / "x") as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert not list(tmp_path.iterdir())
