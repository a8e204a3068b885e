"""From a profile and a name to a specification, of a table's row or of a user's concept."""

import pytest

from advunlearn_lib import api
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.load import profile_for
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import METHODS as ROWS
from advunlearn_lib.profiles.pocket import POCKET

CONCEPTS = {"broad": "nudity", "style": "Van Gogh", "object": "Church"}
WORK = ROWS["AdvUnlearn", "Text Encoder", "broad"][1]


def options(model, method="advunlearn", kind="broad", **changes):
    return api.erasure_spec(model, "church", method, kind, **changes).options


def test_a_full_sized_model_is_erased_as_the_paper_does(large):
    paper = {"component": "text_encoder", "group": "full", "iterations": 1000, "lr": 1e-5, "batch": 1,
             "attack_steps": 30, "attack_lr": 1e-3, "warm_up": 200, "layout": "prefix",
             "retain_weight": 0.3, "retain_batch": 5}  # fmt: skip
    assert options(large).model_dump().items() >= paper.items()
    spec = api.attack_spec(large)
    budget = {"tokens": 5, "timesteps": 50, "steps": 40, "lr": 0.01, "weight_decay": 0.1}
    assert spec.budget.model_dump().items() >= budget.items() and spec.attack == "UnlearnDiffAtk"
    assert spec.prompts.sampling == Sampling("lms", 50, 7.5)
    assert api.quality_spec(large).sampling == Sampling("lms", 100, 7.5)


def test_a_small_model_is_erased_as_the_pocket_profile_does(model):
    filled = options(model)
    row = POCKET.methods["AdvUnlearn", "Text Encoder", "broad"].options
    assert filled.model_dump().items() >= row.items()
    assert filled.attack_steps == 4 and filled.iterations == WORK["work"] * 9
    spec = api.attack_spec(model)
    budget = {"tokens": 5, "timesteps": POCKET.attack_timesteps, "steps": POCKET.attack_steps}
    assert spec.budget.model_dump().items() >= budget.items()
    assert spec.prompts.sampling == Sampling("dpm++", 8, 5.0)


@pytest.mark.parametrize(("method", "kind", "own"), [
    ("uce", "broad", {"also": ()}),
    ("erasediff", "broad", {"pseudo": ""}),
    ("erasediff", "object", {"pseudo": ""}),
])  # fmt: skip
def test_what_goes_with_the_papers_concepts_alone_is_no_users(method, kind, own, large):
    """UCE's "violence" goes with nudity, EraseDiff's pokemon with the paper's rows."""
    spec = api.erasure_spec(large, "dog", method, kind, surrogate="a horse")
    assert spec.surrogate == ("a horse",)
    assert {name: getattr(spec.options, name) for name in own} == own


def test_the_papers_rows_have_it():
    protocol = Protocol(PAPER)
    _, uce = protocol.options(Row("nudity", "UCE"))
    assert uce.also == ("violence", "harm") and protocol.options(Row("Van Gogh", "UCE"))[1].also == ()
    rows = (Row("nudity", "ED"), Row("Church", "ED"))
    assert {protocol.options(row)[1].pseudo for row in rows} == {"a photo of a pokemon"}


def test_what_goes_with_a_kind_is_a_users_too(large):
    assert options(large, "ac", "style").anchors == PAPER.methods["AC", "UNet", "style"].options["anchors"]
    templates = {kind: api.attack_spec(large, "CCE", kind, word="dog").budget.templates for kind in CONCEPTS}
    assert len(set(templates.values())) == 3 and "art" not in str(
        api.attack_spec(large, "CCE", "style").budget
    )


def test_the_kind_of_concept_changes_them(model, large):
    assert options(large, kind="object").group == "layers-1"
    assert [options(large, kind=kind).retain_weight for kind in CONCEPTS] == [0.3, 0.5, 0.5]
    assert [options(model, kind=kind).retain_weight for kind in CONCEPTS] == [0.3, 0.5, 0.5]
    assert options(model, "esd", "style").group == "xattn" != options(model, "esd", "object").group


def test_the_component_changes_them(model, large):
    ours = POCKET.methods["AdvUnlearn", "UNet", "broad"].options["lr"]
    assert ours != POCKET.methods["AdvUnlearn", "Text Encoder", "broad"].options["lr"]
    for one, rate in ((model, ours), (large, 1e-5)):
        changed = options(one, component="unet")
        assert (changed.component, changed.group, changed.lr) == ("unet", "noxattn", rate)
    assert options(model, "esd", component="text_encoder").group == "full"


def test_an_option_of_the_users_own_counts(model):
    filled = options(model, lr=3e-3, iterations=7)
    assert (filled.lr, filled.iterations) == (3e-3, 7)


def test_a_pair_that_the_paper_lacks_takes_another_kinds(model, large):
    for one, profile in ((model, POCKET), (large, PAPER)):
        ac = profile.methods["AC", "UNet", "style"].options
        assert options(one, "ac", "broad") == METHODS["ac"].OPTIONS(**ac)
    alone = METHODS["fmn"].OPTIONS(component="text_encoder")
    assert options(model, "fmn", component="text_encoder") == alone


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_users_budget_is_the_tables_but_for_the_concepts_own(attack, model, large):
    for profile, one in ((POCKET, model), (PAPER, large)):
        protocol = Protocol(profile)
        for kind, name in CONCEPTS.items():
            own = set(profile.concepts[name].options.get(attack, {})) | {"word"}
            table = protocol_budget(protocol, name, attack).model_dump(exclude=own)
            assert api.attack_spec(one, attack, kind).budget.model_dump(exclude=own) == table


def protocol_budget(protocol, concept, attack):
    from advunlearn_lib.experiment.resolve import attack_budget

    return attack_budget(protocol.profile, attack, protocol.concept(concept), {})


def test_the_classes_own_defaults_are_the_papers():
    protocol = Protocol(PAPER)
    for key, settings in PAPER.methods.items():
        usual = METHODS[settings.method].OPTIONS()
        row = Row(CONCEPTS[key.kind], key.method, key.component)
        if not settings.options and not PAPER.concepts[row.concept].options.get(settings.method):
            assert protocol.options(row)[1].model_copy(update={"component": usual.component}) == usual
    assert protocol_budget(protocol, "Church", "UnlearnDiffAtk") == ATTACKS["UnlearnDiffAtk"].BUDGET()


def test_an_erased_model_knows_what_made_it(model):
    tiny = {"iterations": 1, "per_prompt": 1, "steps": 2, "attack_steps": 1, "retain_batch": 1,
            "retain_per_prompt": 1}  # fmt: skip
    erased = api.erase(model, "church", kind="object", retain_set=["a photo of a dog"], seed=3, **tiny)
    spec = api.erasure_spec(model, "church", kind="object", retain_set=["a photo of a dog"], seed=3, **tiny)
    assert (
        erased.spec == spec
        and erased.spec.options.lr == POCKET.methods["AdvUnlearn", "Text Encoder", "object"].options["lr"]
    )
    assert type(spec).read(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(("words", "message"), [
    ({"method": "advunlern"}, "unknown method 'advunlern'; did you mean 'advunlearn'?"),
    ({"method": "AdvUnlearn"}, "unknown method 'AdvUnlearn'; did you mean 'advunlearn'?"),
    ({"kind": "brod"}, "unknown kind 'brod'; did you mean 'broad'?"),
    ({"component": "vae"}, "unknown component 'vae'"),
    ({"rate": 1}, "unknown option 'rate'"),
    ({"lr": 0}, "option lr=0: input should be greater than 0"),
    ({"quirks": ["word_cuont"]}, "unknown quirk 'word_cuont'; did you mean 'word_count'?"),
    ({"seed": -1}, "seed -1 is out of range"),
])  # fmt: skip
def test_what_is_unknown_is_named(model, words, message):
    with pytest.raises(UserError) as error:
        options(model, **words)
    assert str(error.value).startswith(message)


def test_unknown_attacks_and_budgets_are_named(model):
    with pytest.raises(UserError, match="unknown attack 'CEC'; did you mean 'CCE'"):
        api.attack_spec(model, "CEC")
    with pytest.raises(UserError, match="unknown budget 'stepz'; did you mean 'steps'"):
        api.attack_spec(model, stepz=3)
    with pytest.raises(UserError, match="unknown kind 'brod'"):
        api.attack_spec(model, kind="brod")


def test_the_boundary_is_between_the_two():
    assert profile_for(16) is POCKET and profile_for(32) is PAPER and profile_for(128) is PAPER
