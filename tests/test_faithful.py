"""``faithful=official``: every row has the quirks of its official code at once; with ``paper`` none."""

import pytest

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.paper import Item, Run
from advunlearn_lib.paper.items import TABLES
from advunlearn_lib.paper.reported import rows_of
from advunlearn_lib.profiles.load import PROFILES, load_profile

NOT_PUBLISHED = {"separate_retain_step"}  # of the code's mode iter; the README's command sets reg
FAST_AT = {"signed_buffer"}
OTHERS = {"accumulate_gradients"}


def recipes(profile, faithful):
    return Recipes(load_profile(profile, [f"faithful={faithful}"]))


def trained_rows(of):
    """Every row of the tables whose model is trained."""
    rows = {row for table in TABLES.values() for row in rows_of(table)}
    return [row for row in sorted(rows) if of.trained(row) == row]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_row_has_all_the_quirks_of_its_official_code_or_none(profile):
    official, paper = recipes(profile, "official"), recipes(profile, "paper")
    seen = {}
    for row in trained_rows(official):
        method, options = official.options(row)
        assert paper.options(row) == (method, options | {"quirks": []}), row
        chosen, known = set(options["quirks"]), set(METHODS[method].OPTIONS.QUIRKS)
        left_out = NOT_PUBLISHED | (OTHERS if row.variant == "Fast AT (1 step)" else FAST_AT)
        assert chosen == known - (left_out if method == "advunlearn" else set()), row
        seen[method] = seen.get(method, set()) | chosen
    assert set(seen) == set(METHODS)
    for method, chosen in seen.items():
        assert set(METHODS[method].OPTIONS.QUIRKS) - chosen <= NOT_PUBLISHED, method


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_has_all_its_quirks_or_none(profile, attack):
    for concept in load_profile(profile).concepts:
        official = recipes(profile, "official").budget(concept, attack)
        assert official.quirks == set(ATTACKS[attack].QUIRKS)
        paper = recipes(profile, "paper").budget(concept, attack)
        assert not paper.quirks and paper == official.model_copy(update={"quirks": frozenset()})


def test_paper_is_the_default_and_keys_differ_where_quirks_do():
    plain, paper, official = (
        Recipes(load_profile()),
        recipes("pocket", "paper"),
        recipes("pocket", "official"),
    )
    for row in trained_rows(plain):
        assert paper.erase(row) == plain.erase(row)
        quirky = bool(official.options(row)[1]["quirks"])
        assert (official.erase(row) != plain.erase(row)) == quirky
    assert official.erase(Row("nudity", "SD v1.4")) == plain.erase(Row("nudity", "SD v1.4"))
    assert official.quality(Row("nudity", "UCE")) == plain.quality(Row("nudity", "UCE"))


def test_what_a_row_is_set_to_anyway_stays():
    profile = load_profile("pocket", ["faithful=official"])
    key = next(key for key in profile.methods if key.method == "AdvUnlearn" and key.kind == "broad")
    methods = profile.methods | {key: profile.methods[key].changed(quirks=["separate_retain_step"])}
    row = Row("nudity", key.method, key.component)
    plain = Recipes(profile).options(row)[1]["quirks"]
    assert Recipes(profile.model_copy(update={"methods": methods})).options(row)[1]["quirks"] == sorted(
        [*plain, "separate_retain_step"]
    )


def test_the_options_can_be_trained_with(model):
    for variant in ("", "Fast AT (1 step)"):
        _, options = recipes("pocket", "official").options(
            Row("nudity", "AdvUnlearn", "Text Encoder", variant)
        )
        small = {"per_prompt": 1, "steps": 2, "attack_steps": 2, "retain_batch": 1, "retain_per_prompt": 1}
        method = prepare("advunlearn", Task(model, ["tench"], ["a photo of a dog"]), options | small)
        assert method.options.quirks == set(options["quirks"])


def test_an_unknown_value_is_one_line():
    with pytest.raises(UserError) as error:
        load_profile("paper", ["faithful=code"])
    assert str(error.value) == "setting faithful='code': input should be 'paper' or 'official'"


def test_the_stamp_of_the_paper_profiles_tables_says_which(tmp_path):
    stamps = [
        Item("table3", Run(profile, overrides, out=tmp_path)).stamp
        for profile in ("paper", "pocket")
        for overrides in ((), ("faithful=official",))
    ]
    told = [stamp.partition(", commit")[0] for stamp in stamps]
    assert told == [
        "profile paper, faithful=paper, seed 0",
        "profile paper, faithful=official, seed 0",
        "profile pocket, seed 0",
        "profile pocket, faithful=official, seed 0",
    ]
