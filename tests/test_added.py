"""A method and an attack in one file of the user's, nothing else touched: ``table5 --add my_method.py``."""

import json
import shutil

import jupytext
import pandas as pd
import pytest
from made_up import fill_cells

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.main import main
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.cells import BASE, Row
from advunlearn_lib.experiment.erasure_spec import ErasureSpec
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.added import load_added
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.report.reported import jobs_of, reported

MINE = '''
"""Shrink: one bias of the UNet moves to a target."""

import torch
from pydantic import Field

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.attacks.search import Search
from advunlearn_lib.base.settings import marks
from advunlearn_lib.erasure.method import Method, Options
from advunlearn_lib.erasure.registry import METHODS


class ShrinkOptions(Options):
    iterations: int = 40
    target: float = Field(2.0, description="where the bias goes")
    rounds: int = Field(60, json_schema_extra=marks(scaled=True))


@METHODS.register("shrink")
class Shrink(Method):
    OPTIONS = ShrinkOptions
    LABEL = "Shrink"

    def choose_parameters(self):
        return {"conv_in.bias": self.model.unet.conv_in.bias}

    def loss(self, iteration, generator):
        return (self.model.unet.conv_in.bias - self.options.target).square().sum()


@ATTACKS.register("Shout")
class Shout(Attack):
    def rounds(self):
        return 1

    def search(self, prompts, targets):
        return Shouts(self, prompts, targets)


class Shouts(Search):
    def advance(self, number):
        pass

    def texts(self):
        return [f"{prompt.text}!" for prompt in self.prompts]
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The file; what it registers is gone after the test."""
    for known in (METHODS, ATTACKS):
        len(known)  # the package's own are there
        monkeypatch.setattr(known, "_classes", dict(known._classes))
    load_added.cache_clear()
    (tmp_path / "my_method.py").write_text(MINE)
    yield tmp_path / "my_method.py"
    load_added.cache_clear()


def test_a_files_method_is_set_by_its_own_defaults_on_every_kind(mine):
    profile = load_profile("pocket", [f"add={mine}", "scale=0.1"])
    for concept in ("nudity", "Van Gogh", "Church"):
        spec = Protocol(profile).erasure(Row(concept, "Shrink"))
        options = spec.options
        assert spec.method == "shrink" and options.target == 2.0 and options.component == "unet"
        assert (options.iterations, options.rounds) == (4, 6)  # both scaled, the first as any method's
    assert {key for key in profile.methods if key.method != "Shrink"} == set(load_profile().methods)


def test_what_the_file_says_is_in_its_keys_and_in_no_other(mine):
    row, profile = Row("nudity", "Shrink"), load_profile("pocket", [f"add={mine}"])
    ours = Protocol(profile)
    erased, attacked = ours.erasure(row), ours.attack(Row("nudity", BASE), "Shout")
    other = mine.with_name("other.py")
    other.write_text(MINE.replace("rounds: int", "turns: int").replace("}!", "}?"))
    for known in (METHODS, ATTACKS):
        known._classes.pop("shrink" if known is METHODS else "Shout")
    changed = Protocol(load_profile("pocket", [f"add={other}"]))
    assert changed.attack(Row("nudity", BASE), "Shout").key != attacked.key
    assert changed.erasure(row).code != erased.code
    usual = Protocol(load_profile())
    for cell in (number.cell for number in reported("5")):
        assert ours.cell(cell) == usual.cell(cell)
    with pytest.raises(UserError, match="the method 'shrink' is not the one that this model was made by"):
        ErasureSpec.read(erased.model_dump(mode="json"))


def execute(name, parameters):
    """A notebook's code, in this process."""
    scope = {}
    for cell in jupytext.read(ROOT / "notebooks" / f"{name}.py").cells:
        if cell.cell_type == "code":
            exec(cell.source, scope)
        if "parameters" in cell.metadata.get("tags", []):
            scope |= parameters


def test_both_stand_in_table_5(mine, tmp_path, monkeypatch):
    """Everything is made up but the method's model, which a process of the pool trains."""
    monkeypatch.setattr("advunlearn_lib.cli.items.execute", execute)
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    profile = load_profile("pocket", [f"add={mine}"], quick=True)
    store = Store(tmp_path / "store" / "pocket")
    study = Study(profile, store)
    fill_cells(tmp_path / "store", jobs_of([study], "5"))
    recipe = study.protocol.model(Row("nudity", "Shrink")).recipe
    shutil.rmtree(store.folder("erase", recipe))  # to be trained
    out = tmp_path / "out"
    assert main(["table5", "--quick", f"--add={mine}", f"--out={out}"]) == 0
    assert len(store.read("erase", recipe)["result"]["losses"]) == 2  # 40 iterations by a quick run's scale
    table = pd.read_csv(out / "table5.csv")
    ours = table[(table.method == "Shrink") & (table.attack == "UnlearnDiffAtk")]
    assert ours.metric.tolist() == ["asr", "fid", "clip"] and ours.reported.isna().all()
    models = [*dict.fromkeys(number.cell.row.method for number in reported("5")), "Shrink"]
    assert table[table.attack == "Shout"].method.tolist() == models
    paper = table[table.reported.notna()]
    assert paper.reported.tolist() == [number.value for number in reported("5")]
    page = (out / "table5.md").read_text()
    assert "add=my_method.py" in page and "nan" not in page
    assert json.loads((out / "table5.json").read_text())["cells"]


@pytest.mark.parametrize(("text", "message"), [
    ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
    ("def broken(:", "SyntaxError: invalid syntax"),
    ("x = 1", "it registers no method and no attack"),
    (MINE.replace('"shrink"', '"esd"'), "ValueError: 'esd' is registered by ESD already"),
    (MINE.replace('"Shrink"', '"ESD"'), "shrink: LABEL 'ESD' is another's"),
    (MINE.replace('LABEL = "Shrink"', ""), "shrink: it has no LABEL"),
    (MINE.replace("iterations: int", "component: str = 'vae'; iterations: int"), "unknown component 'vae'"),
    (MINE.replace("Field(2.0,", "Field("), "option target={}: field required"),
])  # fmt: skip
def test_a_bad_file_is_one_line_before_anything_is_begun(mine, tmp_path, capsys, text, message):
    mine.write_text(text)
    assert main(["table5", "--quick", f"--add={mine}", f"--out={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_file_that_is_none_and_a_table_to_be_published(mine, tmp_path, capsys):
    assert main(["table5", f"--add={tmp_path / 'nowhere.py'}"]) == 2
    assert main(["table5", f"--add={tmp_path}"]) == 2
    assert capsys.readouterr().err.count("--add takes a Python file") == 2
    assert main(["table5", f"--add={mine}", "--publish"]) == 2
    assert "cannot be combined with" in capsys.readouterr().err
    with pytest.raises(UserError, match="nowhere"):
        load_profile("pocket", [f"add={tmp_path / 'nowhere.py'}"])
