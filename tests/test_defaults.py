"""What the API does without options: as the paper at full size, as the pocket profile on a small model."""

import pytest

from advunlearn_lib import api
from advunlearn_lib.attacks.records import Budget
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.defaults import OF_THE_CONCEPT
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.profiles.load import profile_for
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import METHODS as ROWS
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import COMPONENTS

CONCEPTS = {"broad": "nudity", "style": "Van Gogh", "object": "Church"}
NUMBERS = ("tokens", "timesteps", "steps", "lr", "weight_decay")
WORK = ROWS["AdvUnlearn", "Text Encoder", "broad"][1]
OURS = [key for key in POCKET.methods if key.method != "AT-ESD"]  # AdvUnlearn without its retain loss


def filled(model, method="advunlearn", kind="broad", **options):
    return api.check_erasure(model, method, kind, options)


def test_a_full_sized_model_is_erased_as_the_paper_does(large):
    options = filled(large)
    paper = {"component": "text_encoder", "group": "full", "iterations": 1000, "lr": 1e-5, "batch": 1,
             "attack_steps": 30, "attack_lr": 1e-3, "warm_up": 200, "layout": "prefix",
             "retain_weight": 0.3, "retain_batch": 5}  # fmt: skip
    assert options.items() >= paper.items()
    budget = {"tokens": 5, "timesteps": 50, "steps": 40, "lr": 0.01}
    assert api.default_budget(large, "UnlearnDiffAtk").items() >= budget.items()
    assert api.default_sampling(large) == Sampling("lms", 50, 7.5)


def test_a_small_model_is_erased_as_the_pocket_profile_does(model):
    options = filled(model)
    assert options.items() >= POCKET.methods["AdvUnlearn", "Text Encoder", "broad"].options.items()
    assert options["attack_steps"] == 4 and options["iterations"] == WORK["work"] * 9
    budget = {"tokens": 5, "timesteps": POCKET.attack_timesteps, "steps": POCKET.attack_steps}
    assert api.default_budget(model, "UnlearnDiffAtk").items() >= budget.items()
    assert api.default_sampling(model) == Sampling("dpm++", 8, 5.0)


@pytest.mark.parametrize("key", OURS, ids=str)
def test_every_methods_defaults_are_what_the_tables_rows_use(key, model, large):
    """So a user who erases a concept gets the model that the paper's number is of."""
    row = Row(CONCEPTS[key.kind], key.method, key.component)
    for profile, one in ((POCKET, model), (PAPER, large)):
        method, options = Recipes(profile).options(row)
        ours = api.check_erasure(one, method, key.kind, {"component": COMPONENTS[key.component]})
        assert METHODS[method].OPTIONS(**ours).model_dump(mode="json") == options


@pytest.mark.parametrize(
    ("method", "kind"), [("uce", "broad"), ("erasediff", "broad"), ("erasediff", "object")]
)
def test_texts_of_the_papers_concepts_are_not_a_users(method, kind, large, monkeypatch):
    """UCE's "violence" goes with nudity, EraseDiff's pokemon with the paper's rows."""
    monkeypatch.setattr(api, "train", lambda prepared, seed: prepared)
    monkeypatch.setattr(api, "prepare", lambda method, task, options: (task, options))
    task, options = api.erase(large, "dog", method, kind, ["a cat"], surrogate="a horse")
    assert task.surrogate == ["a horse"] and not task.also and not task.pseudo
    assert not {"violence", "harm", "a photo of a pokemon"} & set(map(str, flat(options.values())))


def flat(values):
    """All single values among lists and others."""
    return [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]


def test_the_papers_rows_have_them(monkeypatch):
    recipes = Recipes(PAPER)
    monkeypatch.setattr(recipes.source, "retain_set", lambda *_: [])
    nudity, church = (recipes.training(Row(name, "ED", "UNet")) for name in ("nudity", "Church"))
    assert nudity["also"] == ["violence", "harm"] and church["also"] == []
    assert nudity["pseudo"] == church["pseudo"] == "a photo of a pokemon"


def test_the_kind_of_concept_changes_them(model, large):
    assert filled(large, kind="object")["group"] == "layers-1"
    assert [filled(large, kind=kind)["retain_weight"] for kind in CONCEPTS] == [0.3, 0.5, 0.5]
    assert [filled(model, kind=kind)["retain_weight"] for kind in CONCEPTS] == [0.3, 0.5, 0.5]
    assert filled(model, "esd", "style")["group"] == "xattn" != filled(model, "esd", "object")["group"]


def test_the_component_changes_them(model, large):
    ours = POCKET.methods["AdvUnlearn", "UNet", "broad"].options["lr"]
    assert ours != POCKET.methods["AdvUnlearn", "Text Encoder", "broad"].options["lr"]
    for one, rate in ((model, ours), (large, 1e-5)):
        changed = filled(one, component="unet")
        assert (changed["component"], changed["group"], changed["lr"]) == ("unet", "noxattn", rate)
    assert filled(model, "esd", component="text_encoder")["group"] == "full"


def test_an_option_of_the_users_own_counts(model):
    assert filled(model, lr=3e-3, iterations=7).items() >= {"lr": 3e-3, "iterations": 7}.items()


def test_a_pair_that_the_paper_lacks_takes_another_kinds(model, large):
    for one, profile in ((model, POCKET), (large, PAPER)):
        ac = profile.methods["AC", "UNet", "style"].options
        assert api.default_options(one, "ac", "broad") == {"component": "unet"} | ac
    assert api.default_options(model, "fmn", "broad", "text_encoder") == {"component": "text_encoder"}


@pytest.mark.parametrize("attack", ["UnlearnDiffAtk", "CCE", "PEZ", "PH2P", "P4D", "random", "none"])
def test_an_attacks_budget_is_what_the_tables_use(attack, model, large):
    for profile, one in ((POCKET, model), (PAPER, large)):
        for kind, concept in CONCEPTS.items():
            table = Recipes(profile).budget(concept, attack).model_dump(exclude=OF_THE_CONCEPT)
            assert api.default_budget(one, attack, kind) == table
    assert attack in ATTACKS


def test_the_classes_own_defaults_are_the_papers():
    for key, settings in PAPER.methods.items():
        if not settings.options and COMPONENTS[key.component] == METHODS[settings.method].OPTIONS().component:
            assert Recipes(PAPER).options(Row(CONCEPTS[key.kind], key.method, key.component))[1] == (
                METHODS[settings.method].OPTIONS().model_dump(mode="json")
            )
    table = Recipes(PAPER).budget("Church", "UnlearnDiffAtk")
    assert all(getattr(Budget(), name) == getattr(table, name) for name in NUMBERS)


@pytest.mark.parametrize(("words", "message"), [
    ({"method": "advunlern"}, "unknown method 'advunlern'; did you mean 'advunlearn'?"),
    ({"method": "AdvUnlearn"}, "unknown method 'AdvUnlearn'; did you mean 'advunlearn'?"),
    ({"kind": "brod"}, "unknown kind 'brod'; did you mean 'broad'?"),
    ({"component": "vae"}, "unknown component 'vae'"),
    ({"rate": 1}, "unknown option 'rate'"),
    ({"lr": 0}, "option lr=0: input should be greater than 0"),
    ({"quirks": ["word_cuont"]}, "unknown quirk 'word_cuont'; did you mean 'word_count'?"),
])  # fmt: skip
def test_what_is_unknown_is_named(model, words, message):
    with pytest.raises(UserError) as error:
        filled(model, **words)
    assert str(error.value).startswith(message)


def test_unknown_attacks_and_budgets_are_named(model):
    with pytest.raises(UserError, match="unknown attack 'CEC'; did you mean 'CCE'"):
        api.default_budget(model, "CEC")
    with pytest.raises(UserError, match="unknown budget 'stepz'; did you mean 'steps'"):
        api.make_attack(model, lambda images: images, stepz=3)


def test_the_boundary_is_between_the_two():
    assert profile_for(16) is POCKET and profile_for(32) is PAPER and profile_for(128) is PAPER
