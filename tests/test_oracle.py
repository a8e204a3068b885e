"""The oracle: where it is, what it is asked, and how far another model's answers are from its own."""

import numpy as np
import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.experiment.cells import BASE, Cell, Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report import Run, folders, oracle
from advunlearn_lib.report.oracle import ATTACKS, ORACLE, TABLES, Drawn

CONCEPTS = {POCKET.concepts[name].name for name in TABLES}


def test_it_never_saw_what_it_is_asked_about():
    assert set(oracle.WITHOUT) == CONCEPTS
    assert folders.unseen_folder(["weapon", "garbage truck"]).name == "without-garbage_truck-weapon"


def test_without_one_the_command_that_trains_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(oracle, "unseen_folder", lambda without: tmp_path / "-".join(without))
    with pytest.raises(UserError, match=r"pocket-train --without church --without weapon trains it"):
        oracle.oracle_folder(POCKET)
    (tmp_path / "church-weapon" / "v1-4" / "unet").mkdir(parents=True)
    with pytest.raises(UserError, match="no oracle yet"):  # one that is half trained
        oracle.oracle_folder(POCKET)
    (tmp_path / "church-weapon" / "training").mkdir()
    (tmp_path / "church-weapon" / "training" / "finished.json").write_text("{}")
    profile = oracle.with_oracle(POCKET)
    assert Study(profile).protocol.base(Row("Church", ORACLE)) == str(tmp_path / "church-weapon" / "v1-4")
    assert profile.bases.items() >= POCKET.bases.items() and profile.base == POCKET.base


def test_other_worlds_and_several_seeds_are_refused():
    with pytest.raises(UserError, match="take profile=pocket"):
        oracle.oracle_folder(PAPER)
    with pytest.raises(UserError, match="take --seed, not --seeds"):
        oracle.study_of(Run(quick=True, seeds=2))


def test_every_attack_is_made_on_both_sides_of_the_same_prompts():
    profile = POCKET.model_copy(update={"bases": POCKET.bases | {ORACLE: POCKET.bases["SD v1.5"]}})
    protocol = Study(profile).protocol
    for concept in TABLES:
        for attack in ATTACKS:
            one, other = (
                protocol.cell(Cell(Row(concept, method), attack, "asr")) for method in (ORACLE, "AdvUnlearn")
            )
            assert one.prompts == other.prompts and one.attack == other.attack == attack
            assert one.budget == other.budget and one.model.key != other.model.key
    assert {cell.row for cell in oracle.cells()} >= {Row(concept, BASE) for concept in TABLES}


@pytest.mark.parametrize(("one", "other", "wanted"), [
    ([0, 1, 2, 3], [3, 2, 1, 0], 0), ([0, 0, 0, 0], [1, 1, 2, 2], 100), ([0, 0, 1, 1], [0, 1, 1, 1], 25),
    ([0, 0, 1], [0, 2], 50),
])  # fmt: skip
def test_the_distance_is_the_share_that_would_have_to_change(one, other, wanted):
    assert oracle.distance(np.array(one), np.array(other), 5) == pytest.approx(wanted)


def test_distances_are_to_the_first_and_chance_alone_is_seen():
    rng = np.random.default_rng(0)
    never, again = (rng.choice(4, 200, p=[0.5, 0.3, 0.2, 0]) for _ in range(2))
    church = np.full(200, 3)
    found = oracle.distances([Drawn(ORACLE, never), Drawn("again", again), Drawn("church", church)], 4, 0)
    assert list(found) == ["again", "church"]
    assert found["church"].value == found["church"].low == found["church"].high == 100
    assert found["again"].low < found["again"].value + 1e-9 < 20 and found["again"].n == 200
    assert oracle.most(np.array([3, 3, 1, 0, 3, 1, 3, 1]), ["owl", "dog", "cat", "bus"]) == (
        "bus 50 %, dog 38 %, owl 12 %"
    )
    assert oracle.most(church, ["owl", "dog", "cat", "bus"]) == "bus 100 %"


def test_the_tables_of_a_quick_run(own_store, tmp_path):
    run = Run(quick=True, out=tmp_path)
    study = oracle.study_of(run)
    table = oracle.floors(study)
    assert table[["concept", "attack"]].values.tolist() == [[c, a] for c in TABLES for a in ATTACKS]
    for line in table.to_dict("records"):
        ours = study.estimate(Cell(Row(line["concept"], "AdvUnlearn"), line["attack"], "asr"))
        assert line["AdvUnlearn: ASR (%)"].startswith(f"{ours.value:.1f} [")
        base = study.estimate(
            Cell(Row(line["concept"], BASE), line["attack"], "asr")
        )  # in the oracle's place
        assert line["never knew: ASR (%)"].startswith(f"{base.value:.1f} [")
        assert line["recalled (points)"].startswith(f"{ours.value - base.value:+.1f} [")
    instead = oracle.what_instead(study, "Church").set_index("model")
    assert instead.loc[BASE, "distance to the oracle (%)"] == "0.0 [0.0, 0.0]"  # one model, the same seeds
    assert instead.loc[ORACLE, "distance to the oracle (%)"] == "–"
    assert "church" in instead.loc[BASE, "draws"]
    title = oracle.plot(study, "a stamp").get_suptitle()
    highest = max(
        study.estimate(Cell(Row(concept, BASE), attack, "asr")).value
        for concept in TABLES
        for attack in ATTACKS
    )
    assert title.split() == (
        f"No attack brings more than {highest:.1f} % back of a model that never knew a stamp".split()
    )
    stages = [axis.get_title() for axis in oracle.training(run.profile).axes]
    assert stages == ["clip", "unet", "unet_2"]
    assert oracle.quality(study).model.tolist() == [BASE, ORACLE] * 2
