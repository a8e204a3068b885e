"""What a recipe says, and what it leaves out: keys change with the result, and with nothing else."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.keys import key_of
from advunlearn_lib.data.emoji import retain_set
from advunlearn_lib.data.official import SHA256
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment import recipes as recipes_module
from advunlearn_lib.experiment.cells import BASE, Cell, Row
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.paper.items import FIGURES, ITEMS, TABLES
from advunlearn_lib.paper.reported import reported, rows_of
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import RetainList

RECIPES = Recipes(POCKET)
ESD = Row("nudity", "ESD", "UNet")
ATTACKED, MEASURED = Cell(ESD, "UnlearnDiffAtk", "asr"), Cell(ESD, "", "fid")


def all_recipes(profile):
    """A recipe of each kind: model, prompts, attack, quality, panel."""
    recipes = Recipes(profile)
    return {
        "erase": recipes.erase(ESD),
        "prompts": recipes.prompts("nudity"),
        "attack": recipes.attack(ESD, "UnlearnDiffAtk"),
        "quality": recipes.quality(ESD),
        "panel": recipes.panel(ESD, ["a photo of a dog"], [0]),
    }


def changed_kinds(before, after):
    """The kinds whose keys differ."""
    return {kind for kind in before if key_of(before[kind]) != key_of(after[kind])}


def test_what_is_unknown_or_undefined_is_named():
    with pytest.raises(UserError, match="unknown concept 'nudty'; did you mean 'nudity'"):
        RECIPES.cell(Cell(Row("nudty", BASE), "none", "asr"))
    with pytest.raises(UserError, match="unknown method 'ESDX'; did you mean 'ESD'"):
        RECIPES.erase(Row("nudity", "ESDX", "UNet"))
    undefined = r"the paper does not define AC \(UNet\) on a concept of the kind 'object' \(Church\)"
    with pytest.raises(UserError, match=undefined):
        RECIPES.erase(Row("Church", "AC"))
    with pytest.raises(UserError, match="unknown attack 'UnlearnDiffAttack'; did you mean 'UnlearnDiffAtk'"):
        RECIPES.attack(ESD, "UnlearnDiffAttack")
    with pytest.raises(UserError, match="unknown variant"):
        RECIPES.erase(Row("nudity", "AdvUnlearn", "Text Encoder", "Suffix"))


def test_the_tables_models_have_recipes_of_their_own():
    rows = {row for table in ("1", "2", "3") for row in rows_of(table)}
    assert len({key_of(RECIPES.erase(row)) for row in rows}) == len(rows) == 6


def test_a_recipe_says_everything_that_shapes_the_result():
    recipe = RECIPES.attack(ESD, "UnlearnDiffAtk")
    for change in ("sampling_steps=9", "attack_steps=3", "prompts=50", "scale=0.5", "precision=bf16"):
        other = Recipes(load_profile("pocket", [change])).attack(ESD, "UnlearnDiffAtk")
        assert key_of(other) != key_of(recipe), change
    assert key_of(Recipes(load_profile(seed=1)).attack(ESD, "UnlearnDiffAtk")) != key_of(recipe)
    assert Recipes(load_profile("pocket", ["fid_images=400"])).attack(ESD, "UnlearnDiffAtk") == recipe


def test_a_training_is_given_every_field_of_a_task():
    given = {one.name for one in fields(Task)} - {"frozen", "cache", "made"}
    assert given <= RECIPES.erase(ESD).keys()


def test_the_batch_is_in_no_recipe():
    """How many pictures fit a machine's memory must not part its results from another's."""
    assert "batch" not in RECIPES.attack(ESD, "UnlearnDiffAtk")
    other = POCKET.model_copy(update={"batch": 7})
    assert all_recipes(other) == all_recipes(POCKET)
    for table in TABLES.values():
        for number in reported(table):
            assert Recipes(other).cell(number.cell) == RECIPES.cell(number.cell)


def test_precision_is_of_the_training_alone():
    half = all_recipes(load_profile("pocket", ["precision=bf16"]))
    assert half["erase"]["precision"] == "bf16"
    assert changed_kinds(all_recipes(POCKET), half) == {"erase", "attack", "quality", "panel"}
    assert Recipes(load_profile("pocket", ["precision=bf16"])).erase(Row("nudity", BASE)) == RECIPES.erase(
        Row("nudity", BASE)
    )


def test_each_kind_of_cell_has_a_version_of_its_own(monkeypatch):
    """Raising one throws away what it must, and no model that took an hour to train."""
    before = all_recipes(POCKET)
    dependent = {
        "quality": {"quality"},
        "panel": {"panel"},
        "attack": {"attack"},
        "prompts": {"prompts", "attack"},  # an attack rests on its prompts
        "erase": {"erase", "attack", "quality", "panel"},  # and everything on the model
    }
    for kind, version in recipes_module.VERSIONS.items():
        with monkeypatch.context() as patch:
            patch.setitem(recipes_module.VERSIONS, kind, version + 1)
            assert changed_kinds(before, all_recipes(POCKET)) == dependent[kind]
    assert set(recipes_module.VERSIONS) == set(dependent)


def test_every_option_of_the_profile_is_valid_and_retains_nothing_erased():
    for key, settings in POCKET.methods.items():
        METHODS[settings.method].OPTIONS(**settings.options)
        assert key.kind in {concept.kind for concept in POCKET.concepts.values()}
    for concept in POCKET.concepts.values():
        kept = retain_set(concept.labels)
        assert not any(prompt.endswith(f" {label}") for prompt in kept for label in concept.labels)
        if concept.kind == "style":  # AC takes anchors of its own, and nobody relabels
            assert concept.anchors and not any(concept.name in anchor for anchor in concept.anchors)
        else:
            assert len(concept.surrogates()) == len(concept.forget()) > 0
            assert not any(label in concept.surrogate for label in concept.labels)
    weapons = POCKET.concepts["nudity"].labels
    for source in ("coco", "imagenet"):
        whole, filtered = (set(retain_set(weapons, RetainList(source, f))) for f in (False, True))
        assert len(whole - filtered) == 3 and "a photo of a cleaver" in whole - filtered


def test_every_cell_of_the_paper_has_a_recipe():
    seen = set()
    for table in TABLES.values():
        for number in reported(table):
            kind, recipe = RECIPES.cell(number.cell)
            assert recipe["version"] == recipes_module.VERSIONS[kind] and kind in (
                "erase", "attack", "quality",
            )  # fmt: skip
            seen.add(number.cell.row)
    assert len(seen) > 70
    assert set(ITEMS) == {*TABLES, *FIGURES} and len(ITEMS) == 25


def test_cells_are_shared_between_tables():
    assert RECIPES.erase(Row("nudity", "ESD")) == RECIPES.erase(ESD)
    variants = ("", "AT (30 steps)", "Prefix", "N=12", "COCO object, LLM filter")
    same = [Row("nudity", "AdvUnlearn", "Text Encoder", variant) for variant in variants]
    ours = RECIPES.erase(Row("nudity", "AdvUnlearn"))
    assert all(RECIPES.erase(row) == ours for row in [*same, Row("nudity", "SD v1.4", "", "Transfer")])
    base, original = Row("nudity", "SD v1.4"), Row("nudity", "SD v1.4", "", "Original")
    assert RECIPES.attack(original, "UnlearnDiffAtk") == RECIPES.attack(base, "UnlearnDiffAtk")


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


def test_the_paper_profile_has_a_recipe_for_every_cell_of_the_paper(official):
    recipes = Recipes(load_profile("paper", official))
    cells = [number.cell for table in TABLES.values() for number in reported(table)]
    assert [recipes.cell(cell)[0] for cell in cells] == [RECIPES.cell(cell)[0] for cell in cells]
    for settings in recipes.profile.methods.values():
        METHODS[settings.method].OPTIONS(**settings.options)
    assert recipes.profile.methods.keys() == POCKET.methods.keys()


def test_published_weights_stand_for_the_rows_that_they_are(official):
    published = Recipes(load_profile("paper", [*official, "checkpoint=published"]))
    recipe = published.erase(Row("nudity", "AdvUnlearn", "Text Encoder"))
    assert recipe["checkpoint"] == "OPTML-Group/AdvUnlearn/nudity_unlearned"
    assert published.erase(Row("nudity", "AdvUnlearn", "Text Encoder", "N=12")) == recipe
    assert "checkpoint" not in published.erase(Row("nudity", "AdvUnlearn", "Text Encoder", "N=1"))


def test_a_clip_model_is_in_the_recipes_of_what_uses_it(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    scored = Recipes(POCKET.model_copy(update={"clip": str(tmp_path)}))
    attacked = Recipes(POCKET.model_copy(update={"attack_clip": str(tmp_path)}))
    for attack in ("PEZ", "UnlearnDiffAtk"):
        usual = RECIPES.attack(ESD, attack)
        assert scored.attack(ESD, attack) == usual
        assert (attacked.attack(ESD, attack) != usual) == (attack == "PEZ")
    assert scored.quality(ESD) != RECIPES.quality(ESD) == attacked.quality(ESD)


@pytest.mark.parametrize(
    "changes", [{"word": "arms"}, {"initializer": "arms"}, {"templates": ("a {}",)}], ids=str
)
def test_only_cce_depends_on_its_word_the_one_it_starts_from_and_its_templates(changes):
    concepts = dict(POCKET.concepts)
    concepts["nudity"] = concepts["nudity"].model_copy(update=changes)
    other = Recipes(POCKET.model_copy(update={"concepts": concepts}))
    for attack in ("CCE", "UnlearnDiffAtk", "P4D", "PEZ"):
        assert (other.attack(ESD, attack) != RECIPES.attack(ESD, attack)) == (attack == "CCE"), attack
