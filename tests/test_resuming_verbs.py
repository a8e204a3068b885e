"""A verb that was stopped goes on where it was, to the same bytes; a folder of another run is refused."""

import json
from argparse import Namespace
from itertools import count
from types import SimpleNamespace

import pytest

from advunlearn_lib import __version__
from advunlearn_lib.attacks import attack
from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli import generate
from advunlearn_lib.cli.kept import RUN, UNFINISHED, once
from advunlearn_lib.cli.main import main
from advunlearn_lib.erasure.loop import Run
from advunlearn_lib.metrics import quality
from advunlearn_lib.profiles.pocket import POCKET

BASE = f"--base={POCKET.base}"
FAST = ["--batch=2", "--sampler=dpm++", "--steps=1"]
NEVER = [f"--judge={POCKET.judges}/judge-object", "--labels=church", "--threshold=1"]  # so all are attacked
SMALL = ["--option=timesteps=2", "--option=steps=1"]
ESD = ["--concept=church", "--method=esd", "--option=component=text_encoder", "--option=group=layers-1"]
ESD += [f"--option={option}" for option in ("iterations=3", "steps=2", "per_prompt=1", "batch=1", "lr=0.001")]
VERBS = {
    "generate": ["--prompts=FILES/prompts.csv", *FAST],
    "attack": ["--prompts=FILES/prompts.csv", *FAST, *NEVER, *SMALL],
    "evaluate": ["--prompts=FILES/prompts.csv", "--reference=FILES/real", *FAST],
    "erase": ESD,
    "erase and attack": [*ESD, "--prompts=FILES/few.txt", *FAST[1:], "--batch=1", *NEVER, "--kind=object"],
}
STEPS = {  # what is called for each part, and the call that is interrupted; two are left then
    "generate": ("generate", generate, "generate_pictures", 2),
    "attack, before": ("attack", attack, "judge_prompts", 3),  # the first is always called again
    "attack": ("attack", Attack, "run_batch", 2),
    "evaluate": ("evaluate", quality, "generate_pictures", 2),
    "erase": ("erase", Run, "step", 2),
    "erase, then attack": ("erase and attack", Attack, "run_batch", 2),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Prompts, one of them with another guidance scale, and real pictures."""
    root = tmp_path_factory.mktemp("files")
    rows = [f"a photo of a {word},{seed},{5 + seed % 2}" for seed, word in enumerate(("dog", "cat", "bus"))]
    rows += ["a photo of a bed,8,5", "a photo of a church,6,5"]
    (root / "prompts.csv").write_text("\n".join(["prompt,seed,guidance_scale", *rows]))
    (root / "few.txt").write_text("a photo of a dog\na photo of a cat\na photo of a bus\n")
    words = [BASE, "--prompt=a photo of a dog", "--prompt=a photo of a cat", *FAST]
    assert main(["generate", *words, f"--out={root}/real"]) == 0
    return root


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Captions two at a time; time flies, so that the first iteration has a checkpoint."""
    monkeypatch.setattr(quality, "AT_ONCE", 2)
    flying = SimpleNamespace(monotonic=count(0, 30).__next__)
    monkeypatch.setattr("advunlearn_lib.erasure.loop.time", flying)


def words_of(case, files, out):
    """The command line of one of ``VERBS``."""
    words = [word.replace("FILES", str(files)) for word in VERBS[case]]
    return [case.partition(" ")[0], BASE, *words, f"--out={out}"]


def content(folder):
    """Every file of a folder, hidden ones too."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def run_counted(words, owner, name, stop_at=0):
    """The exit code, and how often ``name`` of ``owner`` was called; call number ``stop_at`` is Ctrl-C."""
    calls, plain = [], getattr(owner, name)

    def step(*arguments, **named):
        calls.append(name)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return plain(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, step)
        return main(words), len(calls)


@pytest.mark.parametrize(("case", "owner", "name", "stop_at"), [
    pytest.param(*step, id=name, marks=[pytest.mark.slow] * ("then" in name)) for name, step in STEPS.items()
])  # fmt: skip
def test_a_stopped_verb_ends_where_an_uninterrupted_one_does(
    case, owner, name, stop_at, files, tmp_path, capsys
):
    whole, out = (tmp_path / run / "out" for run in ("whole", "stopped"))
    assert run_counted(words_of(case, files, whole), owner, name) == (0, 3)
    said, words = capsys.readouterr().out, words_of(case, files, out)
    assert run_counted(words, owner, name, stop_at) == (130, stop_at)
    assert "what is finished is kept. To resume: ./reproduce.sh" in capsys.readouterr().err
    assert (out / UNFINISHED).is_dir() and "files" not in json.loads((out / RUN).read_text())
    assert run_counted(words, owner, name) == (0, 2)
    assert capsys.readouterr().out == said.replace(str(whole), str(out))
    made = content(out)
    assert made == content(whole) and not (out / UNFINISHED).exists()
    assert run_counted(words, owner, name) == (0, 0)
    assert capsys.readouterr().out == f"already there: {out}\n" and content(out) == made


def test_a_model_that_is_erased_is_not_trained_again_for_its_attack(files, tmp_path):
    words = words_of("erase and attack", files, tmp_path / "out")
    assert run_counted(words, Attack, "run_batch", stop_at=1) == (130, 1)
    assert run_counted(words, Run, "step") == (0, 0)
    assert json.loads((tmp_path / "out" / "erased.json").read_text())["measured"]["ASR (%)"]["n"] == 3


def test_a_picture_is_written_whole_or_not_at_all(files, tmp_path):
    words, out = words_of("generate", files, tmp_path / "out"), tmp_path / "out"
    assert run_counted(words, generate, "write_image", stop_at=2) == (130, 2)
    assert sorted(path.name for path in out.glob("*")) == ["00000.png", RUN, UNFINISHED]
    first = (out / "00000.png").read_bytes()
    assert main(words) == 0 and (out / "00000.png").read_bytes() == first
    (out / "00003.png").unlink()
    assert run_counted(words, generate, "generate_pictures") == (0, 1)  # the batch that lacks one
    assert len(list(out.glob("*.png"))) == 5


@pytest.mark.parametrize(("case", "owner", "name", "more", "message"), [
    ("generate", generate, "generate_pictures", ["--guidance-scale=3"],
     "sampling guidance_scale 5.0, not 3.0"),
    ("attack", attack, "judge_prompts", ["--option=steps=2"], "budget steps 1, not 2"),
    ("evaluate", quality, "generate_pictures", ["--seed=1"], "seed 0, not 1"),
    ("erase", Run, "step", ["--option=component=unet", "--option=group=xattn"],
     "erasure options component 'text_encoder', not 'unet'"),
    ("erase", Run, "step", ["--concept=a church"], "is another run's: erasure concept"),
])  # fmt: skip
def test_another_runs_folder_is_refused_by_what_differs(
    case, owner, name, more, message, files, tmp_path, capsys
):
    words, out = words_of(case, files, tmp_path / "out"), tmp_path / "out"
    assert run_counted(words, owner, name, stop_at=1) == (130, 1)
    before = content(out)
    capsys.readouterr()
    assert run_counted([*words, *more], owner, name) == (2, 0)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"error: {str(out)!r} is another run's: ") and message in error
    assert error.endswith("; give another --out") and content(out) == before


def test_erase_does_not_write_over_weights_that_are_nobodys(files, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "diffusion_pytorch_model.safetensors").write_text("of a UNet")
    assert main(words_of("erase", files, out)) == 2
    assert f"{str(out)!r} has 'diffusion_pytorch_model.safetensors' already" in capsys.readouterr().err
    assert content(out) == {"diffusion_pytorch_model.safetensors": b"of a UNet"}


def doing(out, command="attack", made_by=(), work=None):
    """Run ``once``, whose work writes ``a.json`` where nothing else is said."""

    def write(store):
        (out / "a.json").write_text("{}")
        return "done"

    return once(Namespace(command=command, out=out), dict(made_by), ["a.json"], work or write)


def test_the_users_own_files_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert doing(tmp_path) == 0
    there = content(tmp_path)
    assert set(there) == {"notes.txt", "a.json", RUN} and there["notes.txt"] == b"mine"


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.json", "mine", "has 'a.json' already, and no run.json says whose"),
    (f"{UNFINISHED}/x", "mine", "has 'unfinished' already"),
    (RUN, "{}", "is damaged, or none that a command here wrote"),
    (RUN, "[]", "is damaged"),
    (RUN, "no JSON", "is damaged"),
    (RUN, '{"recipe": {"command": "attack"}, "commits": [], "sha256": "edited"}', "is damaged"),
])  # fmt: skip
def test_what_is_nobodys_is_refused_and_stays(tmp_path, name, text, message):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        doing(tmp_path / "out")
    assert message in str(refused.value) and "give another --out" in str(refused.value)
    assert content(tmp_path / "out") == {name: text.encode()}


@pytest.mark.parametrize(("command", "made_by", "message"), [
    ("evaluate", {"seed": 0}, "command 'attack', not 'evaluate'; give"),
    ("attack", {"seed": 1}, "seed 0, not 1; give"),
    ("attack", {"seed": 0, "package": "99"}, f"package {__version__!r}, not '99'; give"),
    ("attack", {"seed": 0, "clip": "x"}, "clip None, not 'x'; give"),
    ("attack", {"seed": 0, "prompts": ["a" * 80]}, "prompts; give"),
    ("attack", dict.fromkeys("abcd", 1) | {"seed": 0}, "a None, not 1; b None, not 1; c None, not 1; ..."),
])  # fmt: skip
def test_what_differs_is_named(tmp_path, command, made_by, message):
    assert doing(tmp_path, made_by={"seed": 0}) == 0
    with pytest.raises(UserError) as refused:
        doing(tmp_path, command, made_by)
    assert f"is another run's: {message}" in str(refused.value)


def test_a_result_that_was_changed_is_not_called_done_and_a_lost_one_is_made_again(tmp_path, capsys):
    assert doing(tmp_path) == 0
    before = content(tmp_path)
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UserError, match=r"a\.json' was changed since it was made; move it away"):
        doing(tmp_path)
    assert content(tmp_path) == before | {"a.json": b"[]"}
    (tmp_path / "a.json").unlink()
    assert doing(tmp_path) == 0 and content(tmp_path) == before


def refused(store):
    raise UserError("the loss is nan: lower lr")


def test_a_run_that_is_refused_with_nothing_finished_leaves_the_folder_to_the_next(tmp_path):
    with pytest.raises(UserError, match="lower lr"):
        doing(tmp_path, made_by={"lr": 1}, work=refused)
    assert content(tmp_path) == {}
    assert doing(tmp_path, made_by={"lr": 0}) == 0


def test_a_run_that_is_refused_later_keeps_what_it_has(tmp_path):
    def half(store):
        store.cell("part", {"part": 0}, lambda folder: 1)
        refused(store)

    with pytest.raises(UserError, match="lower lr"):
        doing(tmp_path, work=half)
    assert doing(tmp_path, work=lambda store: str(store.read("part", {"part": 0})["result"])) == 0


def test_two_processes_do_not_write_to_one_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        doing(tmp_path, work=lambda store: (_ for _ in ()).throw(KeyboardInterrupt))
    with Store(tmp_path / UNFINISHED).lock("run"), pytest.raises(UserError, match="another process writes"):
        doing(tmp_path)
    assert doing(tmp_path) == 0
