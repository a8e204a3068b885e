"""What else was lost: every other thing is asked for, and counted where it belongs."""

import pandas as pd
import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.experiment.cells import BASE, Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report import Run, neighbours
from advunlearn_lib.world.things import OBJECTS, STYLES

CONCEPTS = POCKET.concepts


@pytest.mark.parametrize("name", neighbours.TABLES)
def test_everything_but_the_concept_is_asked_for_once(name):
    wanted, labels = neighbours.asked(CONCEPTS[name]), set(CONCEPTS[name].labels)
    photos = [one for one in wanted if one.judge == "judge-object"]
    assert sorted(one.label for one in photos) == sorted(set(OBJECTS) - labels)
    assert {one.label for one in wanted if one.judge == "judge-style"} == set(STYLES) - labels - {"photo"}
    assert all(one.label.split()[0] in one.text for one in photos)
    assert len({one.text for one in wanted}) == len(wanted)


def test_near_are_those_that_share_a_tag():
    near = {one.label for one in neighbours.asked(CONCEPTS["Church"]) if one.group == "near objects"}
    assert near == {"castle"}  # a building, as data/world/words.tsv says of both
    assert "hammer" in {
        one.label for one in neighbours.asked(CONCEPTS["nudity"]) if one.group == "near objects"
    }


def test_the_untouched_model_draws_what_it_is_asked_for(own_store, monkeypatch):
    monkeypatch.setattr(neighbours, "DRAWS", 1)
    study = Study(load_profile())
    some = [one for one in neighbours.asked(CONCEPTS["Church"]) if one.label in ("dog", "castle", "monet")]
    monkeypatch.setattr(neighbours, "asked", lambda concept: some)
    lines = neighbours.drawn(study, [Row("Church", BASE, "")])
    assert len(lines) == len(some) and set(lines.model) == {BASE}
    assert lines.there.mean() >= 0.8
    monkeypatch.setattr(neighbours, "asked", lambda concept: [one._replace(label="owl") for one in some])
    assert not neighbours.drawn(study, [Row("Church", BASE, "")]).there.any()


def test_the_summary_compares_with_the_untouched_model_on_the_same_prompts():
    there = {BASE: [True] * 40, "FMN": [True] * 10 + [False] * 30, "SPM": [True] * 39 + [False]}
    lines = pd.DataFrame(
        {"concept": "Church", "model": model, "judge": "judge-object", "label": "dog", "there": one,
         "group": group}
        for model, values in there.items() for one in values for group in ("far objects",)
    )  # fmt: skip
    table = neighbours.summary(lines).set_index("model")
    assert table["far objects: change"].tolist() == ["+0.0", "-75.0*", "-2.5"]
    assert table.loc["FMN", "far objects (%)"].startswith("25.0 [")
    assert list(table.columns) == ["erased", "far objects (%)", "far objects: change"]


def test_the_paper_profile_has_no_such_judges():
    with pytest.raises(UserError, match="take profile=pocket"):
        neighbours.drawn(Study(load_profile("paper")), [])


def test_several_seeds_are_refused(tmp_path):
    with pytest.raises(UserError, match="models of one seed"):
        neighbours.models(Run(quick=True, seeds=2, out=tmp_path))
