"""What CONTRIBUTING.md says of adding a concept, a table and a metric; its own blocks are what is run."""

import re
import shutil
import textwrap
from collections.abc import Sequence

import numpy as np
import pytest

from advunlearn_lib.attacks.records import PromptResult
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.base.store import Store
from advunlearn_lib.experiment.cells import BASE, Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import Estimate, bootstrap_mean
from advunlearn_lib.profiles import pocket
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.report import items, reported, tables

GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(title):
    """The blocks of code of a section."""
    section = GUIDE.split(f"## {title}\n")[1].split("\n## ")[0]
    return [textwrap.dedent(block) for block in re.findall(r"```\w+\n(.*?)```", section, re.S)]


def test_a_concept_is_erased_and_attacked(tmp_path):
    (line,) = blocks("Add a concept")
    concepts = pocket.CONCEPTS | eval(f"{{{line}}}", vars(pocket))
    profile = load_profile(quick=True).model_copy(update={"concepts": concepts})
    study = Study(profile, Store(tmp_path))
    prompts = study.prompts("Castle")
    targets = study.targets(study.protocol.prompts("Castle"))
    assert all("castle" in prompt.text for prompt in prompts) and len(prompts) == len(targets) > 0
    assert all(one.before for one in study.attack(Row("Castle", BASE), "none").prompts)
    outcomes = study.attack(Row("Castle", "ESD"), "none").prompts
    assert [one.prompt for one in outcomes] == [prompt.text for prompt in prompts]


@pytest.fixture
def added(monkeypatch, tmp_path):
    """A table's lines in a copy of reported.csv, and its command."""
    (lines,) = blocks("Add a table")
    for name in ("reported.csv", "claims.csv"):
        shutil.copy(reported.HERE / name, tmp_path)

    def add(text):
        with (tmp_path / "reported.csv").open("a") as file:
            file.write(text)
        reported.all_reported.cache_clear()

    monkeypatch.setattr(reported, "HERE", tmp_path)
    add(lines)
    monkeypatch.setitem(items.TABLES, *re.search(r'`"(tableB1)": "(B1)"`', GUIDE).groups())
    monkeypatch.setattr("advunlearn_lib.report.item.ITEMS", (*items.TABLES, *items.FIGURES))
    yield add
    reported.all_reported.cache_clear()


def run_notebook(out):
    """The copied notebook's cells up to the table, as a script; the item and the table."""
    script = (ROOT / "notebooks" / "table3.py").read_text().replace("table3", "tableB1")
    script = script.replace("quick = False", "quick = True").replace('out = ""', f"out = {str(out)!r}")
    names = {}
    exec(script.partition("# ## Beyond the paper")[0], names)
    return names["item"], names["item"].pretty


def test_a_table_is_two_lines_and_a_copied_notebook(own_store, added, tmp_path):
    item, table = run_notebook(tmp_path / "out")
    assert table.DM.tolist() == ["SD v1.4", "ESD"]
    assert [text.split(" | ")[0] for text in table["ASR (%)"]] == ["100", "60"]
    assert (tmp_path / "out" / "tableB1.md").exists() and item.claims().empty


def test_a_metric_has_its_column(own_store, added, tmp_path, monkeypatch):
    function, call = blocks("Add a metric")
    names = {"Sequence": Sequence, "PromptResult": PromptResult, "Estimate": Estimate, "np": np}
    exec(function, names | {"bootstrap_mean": bootstrap_mean}, made := {})
    exec(f"def asked(self, cell):\n{textwrap.indent(call, '    ')}", made)
    known, estimate = Protocol.cell, Study.estimate

    def cell(self, wanted):
        return known(self, wanted._replace(metric="asr") if wanted.metric == "rounds" else wanted)

    monkeypatch.setattr(Protocol, "cell", cell)
    monkeypatch.setattr(
        Study, "estimate", lambda self, cell: made["asked"](self, cell) or estimate(self, cell)
    )
    monkeypatch.setitem(tables.METRICS, *re.search(r'`"(rounds)": "([a-z ]+)"`', GUIDE).groups())
    added("B1,Church,ESD,,,UnlearnDiffAtk,rounds,9\n")
    item, table = run_notebook(tmp_path / "out")
    steps = [one.step for one in item.study.attack(Row("Church", "ESD")).prompts if one.step > 0]
    (said,) = [text for text in table["rounds until success"] if text]
    assert steps and said.startswith(f"9 | {np.mean(steps):.1f} [")
