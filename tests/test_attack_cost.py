"""Other inner attacks: each changes the attack alone and reaches as far; which is the cheapest robust one."""

import pytest
from made_up import fill_cells

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.metrics.compare import Difference
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report import Run, attack_cost
from advunlearn_lib.report.attack_cost import AGAIN, CHEAP, SCHEMES, STRONGEST, Scheme, changed, row_of

ATTACK = {"attack_steps", "attack_lr", "attack_every", "attack_points", "init", "free_attack"}


def options(profile, concept, scheme):
    return Protocol(changed(profile, concept, scheme)).options(row_of(concept))[1]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize(("profile", "concept", "usual"), [(POCKET, "Church", 4), (PAPER, "nudity", 30)])
def test_only_the_attack_changes_and_all_reach_as_far(profile, concept, usual, scheme):
    before = Protocol(profile).options(row_of(concept))[1]
    after = options(profile, concept, scheme)
    differs = {name for name in type(before).model_fields if getattr(before, name) != getattr(after, name)}
    assert differs <= ATTACK
    assert after.attack_steps * after.attack_lr == pytest.approx(before.attack_steps * before.attack_lr)
    if scheme == Scheme(usual):
        assert not differs and after.model_dump() == before.model_dump()


def test_schemes_differ_and_have_names_of_their_own():
    assert len({str(scheme) for scheme in SCHEMES}) == len(set(SCHEMES)) == len(SCHEMES)
    assert STRONGEST in SCHEMES and set(AGAIN) <= set(SCHEMES)


def test_the_cheap_scheme_is_the_option_of_that_name():
    usual = Protocol(POCKET).options(row_of("nudity"))[1]
    named = type(usual)(**usual.model_dump(exclude_unset=True) | {"attack_scheme": "cheap"}).model_dump()
    tried = options(POCKET, "nudity", CHEAP).model_dump()
    assert named | {"attack_scheme": None} == tried | {"attack_scheme": None}


@pytest.mark.parametrize(("scheme", "cost"), [
    (Scheme(30), 253), (Scheme(1), 21), (Scheme(4, every=4), 21), (Scheme(4, every=8), 17),
    (Scheme(2, points=3), 61), (Scheme(1, free=True), 13), (Scheme(1, start="latest"), 21),
])  # fmt: skip
def test_cost_counts_samples_through_the_unet(scheme, cost):
    """Of a batch of 8 and 5 retain prompts."""
    assert scheme.cost(options(POCKET, "Church", scheme)) == cost


@pytest.mark.parametrize(("value", "low", "high", "robust"), [
    (4, -2, 9.9, True), (4, -2, 10.1, False), (-20, -30, -10, True), (2, -20, 24, False),
])  # fmt: skip
def test_as_robust_is_a_matter_of_the_intervals_end(value, low, high, robust):
    assert attack_cost.as_robust(Difference(value, low, high, "McNemar")) == robust


def test_the_table_and_its_cheapest_scheme(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    run, schemes = Run(quick=True, seeds=2, out=tmp_path / "out"), (Scheme(1), Scheme(4), STRONGEST)
    fill_cells(tmp_path / "store", attack_cost.jobs_of(run.profiles, "Church", schemes))
    found = attack_cost.measured(run, "Church", schemes)
    assert [len(studies) for studies in found.values()] == [2, 2, 2]
    table = attack_cost.summary(run, "Church", found)
    assert table["inner attack"].tolist() == ["K = 1", "K = 4", "K = 30"]
    assert table["ASR less that of K = 30"].tolist()[2] == "–" and table["as robust"].tolist()[2] == "yes"
    assert table["ASR (%)"].nunique() > 1  # another attack is another model
    monkeypatch.setattr(attack_cost, "as_robust", lambda change: False)
    assert attack_cost.cheapest(run, "Church", found) == STRONGEST
    monkeypatch.setattr(attack_cost, "as_robust", lambda change: True)
    assert attack_cost.cheapest(run, "Church", found) == Scheme(1)
    *others, right = attack_cost.plot(run, "Church", found).axes
    assert [axis.get_ylabel() for axis in (*others, right)] == [
        "ASR (%), lower is better", "FID (judge features), lower is better", "CLIP score, higher is better"
    ]  # fmt: skip
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["K = 1", "K = 4", "K = 30"]


def test_weights_from_elsewhere_have_no_other_attack(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    run = Run(quick=True, out=tmp_path / "out")
    monkeypatch.setattr(Protocol, "checkpoint", lambda self, row: "somebody/weights")
    with pytest.raises(UserError, match="'somebody/weights' was not trained here"):
        attack_cost.measured(run, "Church")
