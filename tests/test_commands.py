"""Each command has the options that apply to it and no others; its help shows an example that is true."""

import re
import shlex
import subprocess
import sys

import pytest

from advunlearn_lib.attacks.cce import CCEBudget
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.cli import list_methods
from advunlearn_lib.cli import tests as run_tests
from advunlearn_lib.cli.commands import COMMANDS
from advunlearn_lib.cli.item_options import overrides_of
from advunlearn_lib.cli.main import main, parse
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.profiles.load import SETTABLE, load_profile
from advunlearn_lib.report.items import ITEMS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_shows_an_example_that_it_takes(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    command, page = COMMANDS[name], capsys.readouterr().out
    assert f"usage: reproduce.sh {name} " in page and f"./reproduce.sh {command.example}" in page
    first, *words = shlex.split(command.example)
    assert first == name
    if name == "test":
        return  # its words are pytest's
    options = parse([name, *words])
    assert options.words == [name, *words]
    if hasattr(options, "set"):
        load_profile(options.profile, overrides_of(options))


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_of_the_documents_is_one(document):
    """What a reader copies works."""
    lines = re.findall(r"\./reproduce\.sh ([^`\n|]+)", document.read_text().replace("\\\n", " "))
    given = {"$SLURM_ARRAY_TASK_ID": "1"}  # by the cluster
    for line in lines:
        for variable, value in given.items():
            line = line.replace(variable, value)
        name, *words = shlex.split(line, comments=True)
        if name == "--help" or name == "test" or "--help" in words or "..." in words:
            continue
        options = parse([name, *words])
        if name in ITEMS:
            own = ("reference=", "add=")  # the reader's files
            changes = [change for change in overrides_of(options) if not change.startswith(own)]
            load_profile(options.profile, changes, options.quick, options.seed)


@pytest.mark.parametrize(("words", "given"), [
    (["-k", "attack"], ["-m", "not slow", "-k", "attack"]),
    (["--all"], []),
    (["--all", "-n", "0", "tests/test_store.py"], ["-n", "0", "tests/test_store.py"]),
])  # fmt: skip
def test_words_for_pytest_reach_it_after_the_choice_of_tests(monkeypatch, words, given):
    called = []
    monkeypatch.setattr(run_tests.subprocess, "call", lambda command, cwd: called.append((command, cwd)) or 5)
    monkeypatch.setattr(run_tests.os, "cpu_count", lambda: 2)
    assert main(["test", *words]) == 5
    shared = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    assert called == [([sys.executable, "-m", "pytest", *shared, *given], ROOT)]


def test_the_overview_names_every_command(capsys):
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert all(f"  {name} " in page for name in COMMANDS if name not in ITEMS)
    assert set(ITEMS) < set(COMMANDS)


@pytest.mark.parametrize(("words", "option"), [
    (["table3", "--kind", "broad"], "--kind"),
    (["table3", "--stage=vae"], "--stage"),
    (["claims", "--processes", "2"], "--processes"),
    (["generate", "--labels", "x"], "--labels"),
    (["generate", "--base", "x", "--out", "y", "--prompt", "z", "--labels", "x"], "--labels"),
    (["attack", "--concept", "x"], "--concept"),
    (["evaluate", "--judge", "x"], "--judge"),
    (["erase", "--checkpoint", "x"], "--checkpoint"),
    (["list", "--quick"], "--quick"),
    (["tune", "--set", "prompts=9"], "--set"),
    (["doctor", "--quick"], "--quick"),
    (["pocket-train", "--out", "x"], "--out"),
    (["pocket-quality", "--seed", "1"], "--seed"),
    (["table3", "figure1"], "figure1"),
    (["table3", "--qui"], "--qui"),  # no abbreviations: a later option could take them over
])  # fmt: skip
def test_an_option_of_another_command_is_refused_by_name(words, option, capsys):
    assert main(words) == 2
    message = f"error: unknown option {option!r} of {words[0]} (see ./reproduce.sh {words[0]} --help)\n"
    assert capsys.readouterr().err == message


def listed(capsys, what):
    assert main(["list", what]) == 0
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


def check_options(lines, options, but=()):
    """Each line begins with an option and its default, in order."""
    fields = {name: field for name, field in options.model_fields.items() if name not in ("quirks", *but)}
    for line, (name, field) in zip(lines, fields.items(), strict=True):
        assert f"{line} ".startswith(f"{name}={field.default} ")


def test_list_methods_shows_every_method_with_its_options(capsys):
    """It shows their quirks too; a method that another package registers is listed as ours are."""
    lines = listed(capsys, "methods")
    starts = [next(i for i, line in enumerate(lines) if line.startswith(f"{name} (")) for name in METHODS]
    assert starts == sorted(starts) and len(METHODS) >= 9
    for (name, method), start, end in zip(METHODS.items(), starts, [*starts[1:], len(lines)], strict=True):
        assert lines[start].startswith(f"{name} ({method.LABEL}): {method.LABEL}")
        shown, quirks = lines[start + 1 : end], method.OPTIONS.QUIRKS
        check_options(shown[: len(shown) - len(quirks)], method.OPTIONS)
        assert [line.split()[:2] for line in shown[len(shown) - len(quirks) :]] == [
            ["quirk", quirk] for quirk in quirks
        ]
    assert "iterations=1000" in " ".join(lines) and "attack_steps=30" in " ".join(lines)
    (layout,) = [line for line in lines if line.startswith("layout=")]
    assert layout.endswith(" [paper, table A4]")  # where a value is from


def test_list_attacks_shows_every_attack_and_the_budget(capsys):
    lines = listed(capsys, "attacks")
    assert [name for name in ATTACKS if any(line.startswith(f"{name}: ") for line in lines)] == list(ATTACKS)
    cce = next(i for i, line in enumerate(lines) if line.startswith("CCE: "))
    check_options(lines[cce + 1 : cce + 5], CCEBudget, Budget.model_fields)
    budget = next(i for i, line in enumerate(lines) if line.startswith("budget, for attack --option"))
    check_options(lines[budget + 1 :], Budget)
    assert (Budget().timesteps, Budget().steps) == (50, 40)


@pytest.mark.parametrize("profile", ["pocket", "paper"])
def test_list_settings_shows_what_set_takes(capsys, profile):
    assert main(["list", "settings", "--profile", profile]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    values = load_profile(profile)
    for line, name in zip(lines, SETTABLE, strict=True):
        assert f"{line} ".startswith(f"{name}={getattr(values, name)} ")
    assert not {"seed", "name", "quick"} & set(SETTABLE) and {"fid_images", "batch"} < set(SETTABLE)


def test_list_alone_shows_what_is_there_at_once_and_names_the_rest(capsys):
    assert main(["list"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"items: {', '.join(ITEMS)}\n") and "\nsettings of" in page
    assert page.endswith("\nmethods and attacks, with their options: list methods, list attacks\n")
    assert main(["list", "metods"]) == 2
    assert "unknown list 'metods'; did you mean 'methods'?" in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error():
    """``./reproduce.sh list | head -1``."""
    command = [sys.executable, "-u", "-m", "advunlearn_lib.cli", "list", "settings"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(timeout=60)


def test_the_page_of_options_is_up_to_date():
    """Else: python -m advunlearn_lib.cli.list_methods > docs/options.md."""
    page = (ROOT / "docs" / "options.md").read_text()
    assert page == list_methods.page()
    assert "| `attack_steps` | `30` | K of the inner attack; 1 is Fast AT, 0 no attack | paper" in page
    for named in (*METHODS, *ATTACKS):
        assert f"(`{named}`)" in page or f"### {named}\n" in page
