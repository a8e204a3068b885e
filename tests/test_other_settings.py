"""A claim at other settings: only its method changes, and at the usual one its verdict is the table's."""

import pytest
from made_up import QUICK, fill_cells

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.experiment.cells import usual_component
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import MethodKey
from advunlearn_lib.report import Run, claims, other_settings
from advunlearn_lib.report.other_settings import SETTINGS, changed, compare, others, row_of, touched
from advunlearn_lib.report.reported import jobs_of, reported, reproduce
from tools.pocket_model.search import GRID, options_of, settings

CHURCH = [one for one in SETTINGS if one.concept == "Church"]
USUAL = [one for one in SETTINGS if one.lr == one.work == 1]
METHODS = {one[:3]: one for one in SETTINGS}


def key_of(setting):
    kind = POCKET.concepts[setting.concept].kind
    return MethodKey(setting.method, usual_component(setting.method), kind)


@pytest.mark.parametrize("place", METHODS, ids=" ".join)
def test_the_settings_of_a_method_are_those_of_its_search(place):
    mine = [one for one in SETTINGS if one[:3] == place]
    key, prompts = key_of(mine[0]), len(POCKET.concepts[mine[0].concept].erase)
    searched = [options_of(one, prompts) for one in settings(key)]
    tried = [changed(POCKET, one).methods[key].options for one in mine]
    assert len(tried) == len(searched) == 4 and (key.method, key.component) in GRID
    for one in searched:
        assert sum({name: mine[name] for name in one} == pytest.approx(one) for mine in tried) == 1


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: f"{one.table} {one.method}, {one}")
def test_only_the_method_changes_and_the_usual_one_not_at_all(setting):
    profile, key = changed(POCKET, setting), key_of(setting)
    assert {name for name in POCKET.methods if profile.methods[name] != POCKET.methods[name]} == (
        set() if setting in USUAL else {key}
    )
    assert touched(setting) and row_of(setting) not in others(setting)
    assert row_of(setting) in {number.cell.row for number in reported(setting.table)}
    assert str(setting) == "as in the table" if setting in USUAL else "×" in str(setting)


def test_at_the_usual_setting_the_verdict_is_the_tables(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    run = Run(quick=True, out=tmp_path / "out")
    fill_cells(tmp_path / "store", jobs_of([run.study], "7") + other_settings.jobs_of(QUICK, CHURCH))
    judged = claims.judge(reproduce(run.studies, "7"), run.studies).set_index("id")
    (usual,) = [one for one in CHURCH if one in USUAL]
    assert [claim.id for claim in touched(usual)] == [f"7.{number}" for number in range(1, 8)]
    for claim in touched(usual):
        difference = compare(usual, [Study(changed(run.profile, usual))], run.studies, claim)
        assert difference.value == pytest.approx(judged.difference[claim.id])
        assert difference.rule == judged.rule[claim.id]
    table = other_settings.summary(run, CHURCH)
    assert table.setting.tolist() == [str(one) for one in CHURCH]
    (line,) = table[table.setting == "as in the table"].to_dict("records")
    signs = [f"{claims.SIGNS[verdict]} {name}" for name, verdict in judged.verdict.items()]
    assert line["claims"] == ", ".join(signs)
    assert table["ASR (%)"].nunique() > 1  # another rate is another model
    (axis,) = other_settings.plot(run, CHURCH).axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == table.setting.tolist()
    assert [text.get_text() for text in axis.texts] == [row.method for row in others(usual)]


def test_the_title_counts_claims_that_hold_at_another_setting():
    usual, other, third = USUAL[-1], CHURCH[1], CHURCH[2]
    verdicts = {
        usual: ["fails", "fails", "fails", "holds", "undecided"],
        other: ["holds", "undecided", "fails", "fails", "holds"],
        third: ["holds", "holds", "fails", "holds", "holds"],
    }
    found = {one: dict(zip("abcde", said, strict=True)) for one, said in verdicts.items()}
    assert usual.is_usual() and not other.is_usual()
    assert other_settings.finding(found).startswith("2 of 3 claims that fail")


def test_what_has_no_other_settings_is_refused(tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(b"weights")
    mine = f"checkpoint=Church:AdvUnlearn:Text Encoder={tmp_path / 'mine.safetensors'}"
    with pytest.raises(UserError, match="has no other settings"):
        other_settings.measured(Run(overrides=[mine], out=tmp_path), CHURCH)
    with pytest.raises(UserError, match="take profile=pocket"):
        other_settings.measured(Run("paper", out=tmp_path), CHURCH)


def test_over_several_seeds_the_numbers_are_their_means(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    run, some = Run(quick=True, seeds=2, out=tmp_path / "out"), CHURCH[:2]
    fill_cells(tmp_path / "store", [job for one in run.profiles for job in other_settings.jobs_of(one, some)])
    row, studies = row_of(some[1]), [Study(changed(one, some[1])) for one in run.profiles]
    values = [study.estimate(other_settings.cell(row, "asr")).value for study in studies]
    assert values[0] != values[1]
    shown = other_settings.summary(run, some)["ASR (%)"][1]
    assert shown.startswith(f"{sum(values) / 2:.1f} [")
