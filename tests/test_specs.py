"""What a specification says, and what it leaves out: keys change with the result, and with nothing else."""

import json
import shutil
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.data.emoji import retain_set
from advunlearn_lib.data.official import SHA256
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment import spec as spec_module
from advunlearn_lib.experiment.cells import BASE, Cell, Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import RetainList
from advunlearn_lib.report.items import FIGURES, ITEMS, TABLES
from advunlearn_lib.report.reported import reported, rows_of

PROTOCOL = Protocol(POCKET)
ESD = Row("nudity", "ESD", "UNet")
ATTACKED, MEASURED = Cell(ESD, "UnlearnDiffAtk", "asr"), Cell(ESD, "", "fid")


def all_keys(profile):
    """A key of each kind: model, prompts, attack, quality, panel."""
    protocol = Protocol(profile)
    specs = (
        protocol.model(ESD),
        protocol.prompts("nudity"),
        protocol.attack(ESD, "UnlearnDiffAtk"),
        protocol.quality(ESD),
        protocol.panel(ESD, ["a photo of a dog"], [0]),
    )
    return {spec.KIND: spec.key for spec in specs}


def changed_kinds(before, after):
    """The kinds whose keys differ."""
    return {kind for kind in before if before[kind] != after[kind]}


def test_what_is_unknown_or_undefined_is_named():
    with pytest.raises(UserError, match="unknown concept 'nudty'; did you mean 'nudity'"):
        PROTOCOL.cell(Cell(Row("nudty", BASE), "none", "asr"))
    with pytest.raises(UserError, match="unknown method 'ESDX'; did you mean 'ESD'"):
        PROTOCOL.model(Row("nudity", "ESDX", "UNet"))
    undefined = r"the paper does not define AC \(UNet\) on a concept of the kind 'object' \(Church\)"
    with pytest.raises(UserError, match=undefined):
        PROTOCOL.model(Row("Church", "AC"))
    with pytest.raises(UserError, match="unknown attack 'UnlearnDiffAttack'; did you mean 'UnlearnDiffAtk'"):
        PROTOCOL.attack(ESD, "UnlearnDiffAttack")
    with pytest.raises(UserError, match="unknown variant"):
        PROTOCOL.model(Row("nudity", "AdvUnlearn", "Text Encoder", "Suffix"))


def test_the_tables_models_have_recipes_of_their_own():
    rows = {row for table in ("1", "2", "3") for row in rows_of(table)}
    assert len({PROTOCOL.model(row).key for row in rows}) == len(rows) == 6


def test_a_recipe_says_everything_that_shapes_the_result():
    spec = PROTOCOL.attack(ESD, "UnlearnDiffAtk")
    for change in ("sampling_steps=9", "attack_steps=3", "prompts=50", "scale=0.5", "precision=bf16"):
        other = Protocol(load_profile("pocket", [change])).attack(ESD, "UnlearnDiffAtk")
        assert other.key != spec.key, change
    assert Protocol(load_profile(seed=1)).attack(ESD, "UnlearnDiffAtk").key != spec.key
    assert Protocol(load_profile("pocket", ["fid_images=400"])).attack(ESD, "UnlearnDiffAtk") == spec


def test_a_training_is_given_every_field_of_a_task(model):
    given = {one.name for one in fields(Task)} - {"frozen", "cache", "made"}
    erasure = PROTOCOL.erasure(Row("nudity", "SalUn"))
    assert given <= type(erasure).model_fields.keys()
    task = erasure.task(model)
    for name in given:
        value = getattr(task, name)
        assert (
            value and value == (list(getattr(erasure, name)) if name != "seed" else value)
        ) or name == "seed"


def test_a_specs_paths_are_no_part_of_its_key(tmp_path):
    """The same model elsewhere has the same key, and its recipe names no folder."""
    shutil.copytree(POCKET.base, tmp_path / "elsewhere")
    moved = POCKET.model_copy(update={"base": str(tmp_path / "elsewhere")})
    assert all_keys(moved) == all_keys(POCKET)
    assert str(POCKET.judges) not in json.dumps(PROTOCOL.attack(ESD, "CCE").recipe)


def test_the_batch_is_in_no_recipe():
    """How many pictures fit a machine's memory must not part its results from another's."""
    assert "batch" not in PROTOCOL.attack(ESD, "UnlearnDiffAtk").recipe
    other = POCKET.model_copy(update={"batch": 7})
    assert all_keys(other) == all_keys(POCKET)
    again = Protocol(other)
    for table in TABLES.values():
        for number in reported(table):
            assert again.cell(number.cell) == PROTOCOL.cell(number.cell)


def test_precision_is_of_the_training_alone():
    half = load_profile("pocket", ["precision=bf16"])
    assert Protocol(half).erasure(ESD).precision == "bf16"
    assert changed_kinds(all_keys(POCKET), all_keys(half)) == {"erase", "attack", "quality", "panel"}
    base = Row("nudity", BASE)
    assert Protocol(half).model(base) == PROTOCOL.model(base)


def test_each_kind_of_cell_has_a_version_of_its_own(monkeypatch):
    """Raising one throws away what it must, and no model that took an hour to train."""
    before = all_keys(POCKET)
    dependent = {
        "quality": {"quality"},
        "panel": {"panel"},
        "attack": {"attack"},
        "prompts": {"prompts", "attack"},  # an attack rests on its prompts
        "erase": {"erase", "attack", "quality", "panel"},  # and everything on the model
    }
    for kind, version in spec_module.VERSIONS.items():
        with monkeypatch.context() as patch:
            patch.setitem(spec_module.VERSIONS, kind, version + 1)
            assert changed_kinds(before, all_keys(POCKET)) == dependent[kind]
    assert set(spec_module.VERSIONS) == set(dependent)


def test_every_option_of_the_profile_is_valid_and_retains_nothing_erased():
    for key, settings in POCKET.methods.items():
        METHODS[settings.method].OPTIONS(**settings.options)
        assert key.kind in {concept.kind for concept in POCKET.concepts.values()}
    for concept in POCKET.concepts.values():
        kept = retain_set(concept.labels)
        assert not any(prompt.endswith(f" {label}") for prompt in kept for label in concept.labels)
        if concept.kind == "style":  # AC takes anchors of its own, and nobody relabels
            anchors = POCKET.methods["AC", "UNet", "style"].options["anchors"]
            assert anchors and not any(concept.name in anchor for anchor in anchors)
        else:
            assert len(concept.surrogates()) == len(concept.forget()) > 0
            assert not any(label in concept.surrogate for label in concept.labels)
    weapons = POCKET.concepts["nudity"].labels
    for source in ("coco", "imagenet"):
        whole, filtered = (set(retain_set(weapons, RetainList(source, f))) for f in (False, True))
        assert len(whole - filtered) == 3 and "a photo of a cleaver" in whole - filtered


def test_every_cell_of_the_paper_has_a_specification():
    seen = set()
    for table in TABLES.values():
        for number in reported(table):
            spec = PROTOCOL.cell(number.cell)
            assert spec.recipe["version"] == spec_module.VERSIONS[spec.KIND]
            assert spec.KIND in ("erase", "attack", "quality")
            seen.add(number.cell.row)
    assert len(seen) > 70
    assert set(ITEMS) == {*TABLES, *FIGURES} and len(ITEMS) == 25


def test_cells_are_shared_between_tables():
    assert PROTOCOL.model(Row("nudity", "ESD")) == PROTOCOL.model(ESD)
    variants = ("", "AT (30 steps)", "Prefix", "N=12", "COCO object, LLM filter")
    same = [Row("nudity", "AdvUnlearn", "Text Encoder", variant) for variant in variants]
    ours = PROTOCOL.model(Row("nudity", "AdvUnlearn"))
    assert all(PROTOCOL.model(row) == ours for row in [*same, Row("nudity", "SD v1.4", "", "Transfer")])
    base, original = Row("nudity", "SD v1.4"), Row("nudity", "SD v1.4", "", "Original")
    assert PROTOCOL.attack(original, "UnlearnDiffAtk") == PROTOCOL.attack(base, "UnlearnDiffAtk")


@pytest.fixture
def official(tmp_path):
    """Settings that name local copies of the official files, two prompts each, and an FID reference."""
    for name in SHA256:
        columns = {
            "prompt": ["a photo of x", "a photo of y"],
            "evaluation_seed": [1, 2],
            "evaluation_guidance": [7.5, 7],
        }
        pd.DataFrame(columns).to_csv(tmp_path / name)
    np.savez(tmp_path / "coco.npz", mu=np.zeros(2), sigma=np.eye(2))
    (tmp_path / "best.onnx").write_bytes(b"weights")
    files = {"prompts_dir": "", "reference": "/coco.npz", "detector": "/best.onnx"}
    return [f"{name}={tmp_path}{file}" for name, file in files.items()]


def test_the_paper_profile_has_a_specification_of_every_cell_of_the_paper(official):
    protocol = Protocol(load_profile("paper", official))
    cells = [number.cell for table in TABLES.values() for number in reported(table)]
    assert [type(protocol.cell(cell)) for cell in cells] == [type(PROTOCOL.cell(cell)) for cell in cells]
    for settings in protocol.profile.methods.values():
        METHODS[settings.method].OPTIONS(**settings.options)
    assert protocol.profile.methods.keys() == POCKET.methods.keys()


def test_published_weights_stand_for_the_rows_that_they_are(official):
    published = Protocol(load_profile("paper", [*official, "checkpoint=published"]))
    spec = published.model(Row("nudity", "AdvUnlearn", "Text Encoder"))
    assert spec.checkpoint == "OPTML-Group/AdvUnlearn/nudity_unlearned" and spec.trained() is None
    assert published.model(Row("nudity", "AdvUnlearn", "Text Encoder", "N=12")) == spec
    trained = published.model(Row("nudity", "AdvUnlearn", "Text Encoder", "N=1"))
    assert not trained.checkpoint and trained.trained() == trained


def test_a_clip_model_is_in_the_recipes_of_what_uses_it(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    scored = Protocol(POCKET.model_copy(update={"clip": str(tmp_path)}))
    attacked = Protocol(POCKET.model_copy(update={"attack_clip": str(tmp_path)}))
    for attack in ("PEZ", "UnlearnDiffAtk"):
        usual = PROTOCOL.attack(ESD, attack)
        assert scored.attack(ESD, attack) == usual
        assert (attacked.attack(ESD, attack) != usual) == (attack == "PEZ")
    assert scored.quality(ESD) != PROTOCOL.quality(ESD) == attacked.quality(ESD)


@pytest.mark.parametrize(
    "changes", [{"word": "arms"}, {"initializer": "arms"}, {"templates": ("a {}",)}], ids=str
)
def test_only_cce_depends_on_its_word_the_one_it_starts_from_and_its_templates(changes):
    concepts = dict(POCKET.concepts)
    concepts["nudity"] = concepts["nudity"].model_copy(update={"options": {"CCE": changes}})
    other = Protocol(POCKET.model_copy(update={"concepts": concepts}))
    for attack in ("CCE", "UnlearnDiffAtk", "P4D", "PEZ"):
        assert (other.attack(ESD, attack) != PROTOCOL.attack(ESD, attack)) == (attack == "CCE"), attack
