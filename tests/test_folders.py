"""Every sort of run has a folder of its own, and committed results are written by --publish alone."""

import itertools
from pathlib import Path

import pytest

from advunlearn_lib.base.paths import FIGURES, PUBLISHED
from advunlearn_lib.cli.main import main
from advunlearn_lib.report import Run
from advunlearn_lib.report.folders import published_folder, results_folder

PLAIN = results_folder("pocket")
SORTS = [
    {"quick": True},
    {"seed": 0},
    {"seed": 3},
    {"seeds": 2},
    {"seed": 3, "seeds": 2},
    {"quick": True, "seed": 3},
    {"overrides": ["fid_images=100"]},
    {"overrides": ["fid_images=100"], "quick": True},
    {"overrides": ["prompts=9"]},
    {"overrides": ["fid_images=100", "prompts=9"]},
]


def test_every_sort_of_run_has_a_folder_of_its_own():
    folders = [results_folder("pocket", **sort) for sort in SORTS]
    assert len({PLAIN, results_folder("paper"), *folders}) == len(SORTS) + 2
    for folder in (PLAIN, *folders):
        assert folder.parent == FIGURES and not folder.is_relative_to(PUBLISHED) and folder != PUBLISHED


def test_a_run_in_a_notebook_writes_there_too(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path))
    for sort in SORTS:
        assert Run("pocket", **sort).folder == results_folder("pocket", **sort)
    assert Run(quick=True, out=tmp_path / "out").folder == tmp_path / "out"


@pytest.mark.parametrize(("one", "other"), [
    (["base=/a/b"], ["base=/a_b"]),
    (["base=/a/b"], ["base=_a_b"]),
    (["base=a b"], ["base=a_b"]),
    (["base=é"], ["base=è"]),
    (["base=" + 80 * "x"], ["base=" + 81 * "x"]),
    (["base=a", "clip=b"], ["base=a-clip=b"]),
    (["fid_images=60", "fid_images=100"], ["fid_images=100", "fid_images=60"]),  # the last one counts
    (["checkpoint=nudity:ESD:UNet=a.pt"], ["checkpoint=nudity_ESD_UNet=a.pt"]),
])  # fmt: skip
def test_different_overrides_never_share_a_folder(one, other):
    folders = [results_folder("pocket", overrides=overrides) for overrides in (one, other)]
    assert folders[0] != folders[1] and {folder.parent for folder in folders} == {FIGURES}


def test_a_folders_name_does_not_depend_on_the_order_of_different_settings():
    settings = ("fid_images=100", "prompts=9", "base=/a b")
    assert len({results_folder("pocket", overrides=order) for order in itertools.permutations(settings)}) == 1


@pytest.mark.parametrize("more", [
    ["--quick"], ["--seed", "1"], ["--out", "elsewhere"], ["--set", "prompts=9"],
    ["--checkpoint", "nudity:ESD:UNet=published"], ["--base", "owner/name"],
])  # fmt: skip
def test_only_the_plain_run_is_published(more, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["table1", "--publish", *more]) == 2
    assert "--publish writes the plain run" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_publish_alone_writes_the_committed_results(monkeypatch):
    written = []
    for module in ("items", "beyond"):
        monkeypatch.setattr(
            f"advunlearn_lib.cli.{module}.execute", lambda _, parameters: written.append(parameters["out"])
        )
    monkeypatch.setattr("advunlearn_lib.cli.runs.writable", lambda kind, folder: folder)
    told = []
    monkeypatch.setattr("advunlearn_lib.report.outcomes.write", lambda run, items: told.append((run, items)))
    for words in (["--publish"], [], ["--quick"], ["--seed", "1"], ["--set", "prompts=9"]):
        assert main(["table1", *words]) == 0
    run, items = told.pop()  # each prompt's outcome goes with what is published
    assert not told
    assert run.folder == published_folder("pocket") and items == ["table1"]
    assert written[0] == str(published_folder("pocket"))
    assert main(["deviations", "--publish"]) == 0 and written.pop() == written[0]
    assert main(["table1", "--publish", "--seeds", "3"]) == 0
    assert written.pop() == str(published_folder("pocket") / "seeds3")
    assert not any(Path(folder).is_relative_to(PUBLISHED) for folder in written[1:])


@pytest.mark.parametrize("command", ["tune", "pocket-quality"])
def test_the_pocket_models_own_reports_keep_apart_too(command, tmp_path, monkeypatch, capsys):
    """A search under another seed would else take the first one's log for its own, and do nothing."""
    written = []
    monkeypatch.setattr("advunlearn_lib.cli.tune.search", lambda _, folder, *__: written.append(folder))
    monkeypatch.setattr("advunlearn_lib.cli.pocket_quality.report", lambda _, folder: written.append(folder))
    monkeypatch.setattr("advunlearn_lib.cli.pocket_options.writable", lambda kind, folder: folder)
    name = {"tune": "tuning", "pocket-quality": "training"}[command]
    sorts = {(): PLAIN, ("--publish",): published_folder("pocket"), ("--out", str(tmp_path)): tmp_path}
    sorts |= {("--seed", "3"): results_folder("pocket", seed=3)} if command == "tune" else {}
    for words, folder in sorts.items():
        assert main([command, *words]) == 0 and written.pop() == folder / name
    assert main([command, "--publish", "--out", str(tmp_path)]) == 2 and not written
    assert "--publish sets the folder" in capsys.readouterr().err
