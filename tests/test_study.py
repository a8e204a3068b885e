import pytest

from advunlearn_lib.erasure import METHODS
from advunlearn_lib.errors import UserError
from advunlearn_lib.paper import tables
from advunlearn_lib.profiles import POCKET, profile
from advunlearn_lib.store import Store, key_of
from advunlearn_lib.study import BASE, Study


@pytest.fixture
def study(tmp_path):
    return Study(POCKET, Store(tmp_path))


def test_unknown_concepts_methods_and_metrics_are_named(study):
    with pytest.raises(UserError, match="unknown concept 'nudty'; did you mean 'nudity'"):
        study.estimate("nudty", BASE, "", "none", "asr")
    with pytest.raises(UserError, match="unknown method 'ESDX UNet broad'; did you mean 'ESD UNet broad'"):
        study.erase_recipe("nudity", "ESDX", "UNet")


def test_the_tables_models_have_recipes_of_their_own(study):
    cells = tables.read("reported.csv").query("table in ['1', '2', '3']")
    models = {(row.method, row.component) for row in cells.itertuples()}
    keys = {key_of(study.erase_recipe("nudity", *model)) for model in models}
    assert len(keys) == len(models) == 6


def test_a_recipe_says_everything_that_shapes_the_result(study, tmp_path):
    recipe = study.attack_recipe("nudity", "ESD", "UNet", "UnlearnDiffAtk")
    for change in ("seed=1", "sampling_steps=9", "attack_steps=3", "prompts=50", "scale=0.5"):
        other = Study(profile("pocket", [change]), Store(tmp_path))
        assert key_of(other.attack_recipe("nudity", "ESD", "UNet", "UnlearnDiffAtk")) != key_of(recipe), change
    same = Study(profile("pocket", ["fid_images=400"]), Store(tmp_path))
    assert key_of(same.attack_recipe("nudity", "ESD", "UNet", "UnlearnDiffAtk")) == key_of(recipe)


def test_every_option_of_the_profile_is_valid_and_retains_nothing_erased(study):
    for row, options in POCKET.methods.items():
        METHODS[options["method"]].OPTIONS(**{name: value for name, value in options.items() if name != "method"})
        assert row.split()[-1] in {concept.kind for concept in POCKET.concepts.values()}
    for name, concept in POCKET.concepts.items():
        kept = study.erase_recipe(name, "ESD", "UNet")["retain_set"]
        assert not any(prompt.endswith(f" {label}") for prompt in kept for label in concept.labels)
