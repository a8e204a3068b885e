"""No hub is asked where all models are folders here; one that is not is fetched, however it was named."""

import os
import subprocess
import sys

import pytest

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.cli.main import main
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET


@pytest.fixture
def offline_at(monkeypatch, tmp_path):
    """What HF_HUB_OFFLINE says when a command's work begins; the work is not done."""
    seen = []

    def look(*_, **__):
        seen.append(os.environ.get("HF_HUB_OFFLINE"))
        return True

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    for place in ("items.execute", "everything.run_all", "claims.report_claims", "doctor.print_findings",
                  "pocket_quality.report", "tune.search"):  # fmt: skip
        monkeypatch.setattr(f"advunlearn_lib.cli.{place}", look)

    def run(*words):
        assert main([*words]) == 0
        return seen.pop()

    return run


LOCAL = [[], ["--set", f"base={POCKET.base}"], ["--base", POCKET.base], ["--quick"], ["--set", "prompts=9"]]
FETCHED = [
    ["--set", "base=owner/name"],
    ["--base", "owner/name"],
    ["--set", "base=owner/name@0123abc"],
    ["--base", "owner/name@0123abc"],
    ["--set", "clip=owner/name"],
    ["--set", "attack_clip=owner/name"],
    ["--profile", "paper"],
]


@pytest.mark.parametrize("command", ["table3", "all", "claims"])
@pytest.mark.parametrize(("words", "expected"), [*((w, "1") for w in LOCAL), *((w, None) for w in FETCHED)])
def test_items_ask_the_hub_where_a_model_is_there_alone(offline_at, tmp_path, command, words, expected):
    assert offline_at(command, "--out", str(tmp_path / "out"), *words) == expected


@pytest.mark.parametrize(("words", "expected"), [([], "1"), (["--base", "owner/name"], None)])
def test_doctor_looks_at_the_hub_where_a_model_is_there(offline_at, words, expected):
    assert offline_at("doctor", *words) == expected


@pytest.mark.parametrize("command", ["pocket-quality", "tune"])
def test_the_pocket_models_own_commands_ask_no_hub(offline_at, tmp_path, command):
    assert offline_at(command, "--out", str(tmp_path)) == "1"


def test_the_users_own_wish_stands(offline_at, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert offline_at("table3", "--out", str(tmp_path)) == "0"


def test_both_forms_name_the_same_profile():
    """So they have the same recipes and the same store."""
    assert load_profile("pocket", ["base=owner/name"]).base == "owner/name"
    assert not load_profile("pocket", ["base=owner/name"]).is_local() and load_profile().is_local()
    judges = load_profile("pocket", [f"judges={ROOT}/docs"])  # no judge in there: their names are hub ids
    assert not judges.is_local()


def test_the_hubs_own_library_sees_it(tmp_path):
    """huggingface_hub reads the variable once, when it is imported: it must be set before."""
    script = """
import advunlearn_lib.report.notebook as notebook
from advunlearn_lib.cli.main import main
def execute(*_):
    from huggingface_hub import constants
    print(constants.HF_HUB_OFFLINE)
notebook.execute = execute
main(["table3", "--out", OUT])
"""
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    for base, expected in ((POCKET.base, "True"), ("owner/name", "False")):
        words = script.replace("OUT]", f"{str(tmp_path)!r}, '--base', {base!r}]")
        command = [sys.executable, "-c", words]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
