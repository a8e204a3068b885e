"""``faithful=official``: every row has the quirks of its official code at once; with ``paper`` none."""

import pytest
from tasks import task_on

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.erasure.loop import prepare
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.resolve import attack_budget
from advunlearn_lib.profiles.load import PROFILES, load_profile
from advunlearn_lib.report import Item, Run
from advunlearn_lib.report.items import TABLES
from advunlearn_lib.report.reported import rows_of

NOT_PUBLISHED = {"separate_retain_step"}  # of the code's mode iter; the README's command sets reg
FAST_AT = {"signed_buffer"}
OTHERS = {"accumulate_gradients"}


def protocol(profile, faithful):
    return Protocol(load_profile(profile, [f"faithful={faithful}"]))


def options_of(of, row):
    """The method of a row, and its options."""
    method, options = of.options(row)
    return method, options.model_dump()


def budget_of(of, concept, attack):
    return attack_budget(of.profile, attack, of.concept(concept), {})


def trained_rows(of):
    """Every row of the tables whose model is trained."""
    rows = {row for table in TABLES.values() for row in rows_of(table)}
    return [row for row in sorted(rows) if of.trained(row) == row]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_row_has_all_the_quirks_of_its_official_code_or_none(profile):
    official, paper = protocol(profile, "official"), protocol(profile, "paper")
    seen = {}
    for row in trained_rows(official):
        method, options = options_of(official, row)
        assert options_of(paper, row) == (method, options | {"quirks": []}), row
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
        official = budget_of(protocol(profile, "official"), concept, attack)
        assert official.quirks == set(ATTACKS[attack].QUIRKS)
        paper = budget_of(protocol(profile, "paper"), concept, attack)
        assert not paper.quirks and paper == official.model_copy(update={"quirks": frozenset()})


def test_paper_is_the_default_and_keys_differ_where_quirks_do():
    plain, paper, official = (
        Protocol(load_profile()),
        protocol("pocket", "paper"),
        protocol("pocket", "official"),
    )
    for row in trained_rows(plain):
        assert paper.model(row) == plain.model(row)
        quirky = bool(official.erasure(row).options.quirks)
        assert (official.model(row) != plain.model(row)) == quirky
    assert official.model(Row("nudity", "SD v1.4")) == plain.model(Row("nudity", "SD v1.4"))
    assert official.quality(Row("nudity", "UCE")) == plain.quality(Row("nudity", "UCE"))


def test_what_a_row_is_set_to_anyway_stays():
    profile = load_profile("pocket", ["faithful=official"])
    key = next(key for key in profile.methods if key.method == "AdvUnlearn" and key.kind == "broad")
    methods = profile.methods | {key: profile.methods[key].changed(quirks=["separate_retain_step"])}
    row = Row("nudity", key.method, key.component)
    plain = Protocol(profile).erasure(row).options.quirks
    changed = Protocol(profile.model_copy(update={"methods": methods})).erasure(row)
    assert changed.options.quirks == plain | {"separate_retain_step"}


def test_the_options_can_be_trained_with(model):
    for variant in ("", "Fast AT (1 step)"):
        row = Row("nudity", "AdvUnlearn", "Text Encoder", variant)
        _, options = options_of(protocol("pocket", "official"), row)
        small = {"per_prompt": 1, "steps": 2, "attack_steps": 2, "retain_batch": 1, "retain_per_prompt": 1}
        method = prepare("advunlearn", task_on(model, ["tench"], ["a photo of a dog"]), options | small)
        assert sorted(method.options.quirks) == options["quirks"] != []


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
