"""``store verify`` finds every damaged cell and changes nothing; ``store gc`` removes leftovers alone."""

import multiprocessing
from pathlib import Path

import pytest

from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.main import main


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """Three finished cells of the pocket profile."""
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path))
    store = Store(tmp_path / "pocket")
    for number in range(3):
        store.cell("erase", {"number": number}, weights)
    return store


def weights(folder: Path) -> int:
    (folder / "weights").mkdir()
    (folder / "weights" / "config.json").write_text("{}")
    return 3


def listing(store):
    return {path: path.is_file() and path.read_bytes() for path in store.root.rglob("*")}


def test_verify_of_a_whole_store(store, capsys):
    assert main(["store", "verify"]) == 0
    assert capsys.readouterr().out == f"3 finished cells, 0 damaged: {store.root}\n"


def test_verify_names_every_damaged_cell_and_changes_nothing(store, capsys):
    config = store.folder("erase", {"number": 0}) / "weights" / "config.json"
    config.write_text("[]")
    result = store.folder("erase", {"number": 2}) / "result.json"
    result.write_text(result.read_text().replace('"result": 3', '"result": 4'))
    before = listing(store)
    assert main(["store", "verify"]) == 1
    *lines, summary, remedy = capsys.readouterr().out.splitlines()
    reason = "its content is not what was written: another SHA-256"
    assert sorted(lines) == sorted([f"{config}: {reason}", f"{result}: {reason}"])
    assert summary == f"3 finished cells, 2 damaged: {store.root}" and "computes it again" in remedy
    assert listing(store) == before


def test_verify_leaves_out_what_is_unfinished_or_set_aside(store, capsys):
    for name in ("erase-0123456789abcdef.partial", "erase-0123456789abcdef.damaged-1", "random-sd-v1-4"):
        (store.root / name).mkdir()
    assert main(["store", "verify"]) == 0 and "3 finished cells, 0" in capsys.readouterr().out


def make_half(root, recipe, begun, end) -> None:
    """A process at work on a cell, until it is told to end."""

    def compute(folder):
        (folder / "checkpoint.safetensors").write_bytes(bytes(1000))
        begun.set()
        end.wait(60)
        raise KeyboardInterrupt

    try:
        Store(root).cell("erase", recipe, compute)
    except KeyboardInterrupt:
        return


def test_gc_removes_leftovers_and_nothing_else(store, capsys):
    """Half-made cells, one in the making among them; cells and a checkpoint set aside; locks."""
    for number in (0, 1):  # set aside, and made again
        (store.folder("erase", {"number": number}) / "weights" / "config.json").write_text("[]")
        store.cell("erase", {"number": number}, weights)
    finished = store.folder("erase", {"number": 2})
    (finished / "checkpoint.safetensors.damaged-1").write_bytes(bytes(500_000))
    (store.root / ".own.lock").touch()
    (store.root / "own.partial").mkdir()
    begun, end = multiprocessing.Event(), multiprocessing.Event()
    stopped = multiprocessing.Process(target=make_half, args=(store.root, {"number": 3}, begun, end))
    end.set()
    stopped.start()
    stopped.join()
    copied = store.root / "quality-0123456789abcdef.partial"  # has no lock
    copied.mkdir()
    begun.clear(), end.clear()
    busy = multiprocessing.Process(target=make_half, args=(store.root, {"number": 4}, begun, end))
    busy.start()
    try:
        assert begun.wait(60)
        capsys.readouterr()
        before = listing(store)
        assert main(["store", "gc"]) == 0
        plan = capsys.readouterr().out.splitlines()
        assert listing(store) == before
        assert main(["store", "gc", "--yes"]) == 0
        done = capsys.readouterr().out.splitlines()
        left = {path.name for path in store.root.iterdir()}
    finally:
        end.set()
        busy.join()
    mine, half = store.folder("erase", {"number": 4}).name, store.folder("erase", {"number": 3}).name
    cells = {store.folder("erase", {"number": number}).name for number in range(3)}
    assert left == {*cells, f"{mine}.partial", f".{mine}.lock", ".own.lock", "own.partial"}
    assert plan[:-1] == done[:-1] and len(plan) == 6
    assert plan[-1] == "would remove 0.5 MB (leftovers: 5, locks: 4); --yes does it"
    assert done[-1] == "removed 0.5 MB (leftovers: 5, locks: 4)"
    assert f"  {half}.partial, 0.0 MB: half made: the next run would go on from it" in plan
    assert f"  {finished.name}/checkpoint.safetensors.damaged-1, 0.5 MB: damaged, set aside" in plan
    assert main(["store", "verify"]) == 0 and "3 finished cells, 0 damaged" in capsys.readouterr().out
    assert main(["store", "gc", "--yes"]) == 0  # what was in the making is a leftover now
    assert "removed 0.0 MB (leftovers: 1, locks: 1)\n" in capsys.readouterr().out
    assert main(["store", "gc"]) == 0
    assert capsys.readouterr().out == "would remove 0.0 MB (leftovers: 0, locks: 0)\n"


@pytest.mark.parametrize(("words", "message"), [
    (["store"], "the following arguments are required: what"),
    (["store", "verfy"], "unknown store command 'verfy'; did you mean 'verify'? (allowed: verify, gc)"),
    (["store", "verify", "--yes"], "--yes does not go with verify (allowed: gc)"),
    (["store", "gc", "--profile", "poket"], "unknown profile 'poket'; did you mean 'pocket'?"),
    (["store", "gc", "--profile", "paper"], "there is no store '"),
    (["store", "gc", "all"], "unknown option 'all' of store"),
])  # fmt: skip
def test_bad_input_is_one_line(store, capsys, words, message):
    before = listing(store)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert listing(store) == before and not (store.root.parent / "paper").exists()
