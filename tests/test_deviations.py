"""One thing changed at a time: each row's model or attack is another than its method's usual one."""

import pytest
from made_up import fill_cells
from scipy.stats import binomtest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.erasure.loop import check_options
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.samples import compare_cells
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.profiles.schema import MethodKey
from advunlearn_lib.report import Run, deviations
from advunlearn_lib.report.deviations import ATTACK, DEVIATIONS, cells_of, changed

ED = Row("nudity", "ED", "UNet")
USUAL = {(one.method, one.component): one for one in DEVIATIONS if one.what == "usual"}


def specs_of(deviation):
    """How its model is made, and how it is attacked."""
    return usual_specs(Protocol(changed(POCKET, deviation)), cells_of(deviation)["asr"].row)


def usual_specs(protocol, row):
    return protocol.erasure(row), protocol.attack(row, ATTACK.attack)


def test_every_row_has_its_methods_usual_row_to_be_compared_with():
    for deviation in DEVIATIONS:
        assert MethodKey(deviation.method, deviation.component, "broad") in POCKET.methods
        assert (deviation.method, deviation.component) in USUAL
    for usual in USUAL.values():
        assert changed(POCKET, usual).methods == POCKET.methods
        row = cells_of(usual)["asr"].row
        assert specs_of(usual) == usual_specs(Protocol(POCKET), row)


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda one: f"{one.method} {one.what}")
def test_a_deviation_changes_what_it_says(deviation):
    model, attack = specs_of(deviation)
    usual_model, usual_attack = specs_of(USUAL[deviation.method, deviation.component])
    settings = POCKET.methods[MethodKey(deviation.method, deviation.component, "broad")]
    filled = check_options(settings.method, settings.options | dict(deviation.options))
    assert all(name in filled.QUIRKS for name in deviation.options.get("quirks", ()))
    fields = type(model).model_fields
    differing = {name for name in fields if getattr(model, name) != getattr(usual_model, name)}
    assert differing == ({"options"} if deviation.options else set())
    for name, value in deviation.options.items():
        assert getattr(model.options, name) == (frozenset(value) if name == "quirks" else value)
    for name, value in deviation.budget.items():
        assert getattr(attack.budget, name) == (frozenset(value) if name == "quirks" else value)
    assert (attack.key == usual_attack.key) == (deviation.what == "usual")


def test_no_two_rows_are_the_same():
    keys = [specs_of(deviation)[1].key for deviation in DEVIATIONS]
    assert len(set(keys)) == len(DEVIATIONS)


def test_effects_are_measured_and_shown_with_their_intervals(own_store, tmp_path):
    some = [one for one in DEVIATIONS if one.method in ("ESD", "UCE")]
    run = Run(quick=True, out=tmp_path / "out")
    table = deviations.effects(run, some)
    assert list(table.columns) == [
        "method", "trains", "deviation", "pre-ASR (%)", "ASR (%)", "FID (judge features)", "CLIP score",
    ]  # fmt: skip
    assert table.method.tolist() == sorted(one.method for one in some) and len(table) == len(some)
    study = run.study
    first = next(one for one in some if one.method == table.method[0] and one.what == table.deviation[0])
    assert first.what == "usual"
    estimate = study.estimate(cells_of(first)["fid"])
    assert table["FID (judge features)"][0] == (
        f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"
    )
    run.write("deviations", table)
    assert (tmp_path / "out" / "deviations.md").read_text().endswith(f"\n\n{run.stamp}\n")
    assert (tmp_path / "out" / "deviations.csv").read_text() == table.to_csv(index=False)


def test_a_difference_is_that_of_the_same_prompts_and_captions(own_store, tmp_path):
    some = [one for one in DEVIATIONS if one.method in ("ESD", "UCE")]
    run = Run(quick=True, out=tmp_path / "out")
    changes = deviations.differences(run, some)
    told = {(one.method, one.what) for one in some if one.what != "usual"}
    assert set(zip(changes.method, changes.deviation)) == told and len(changes) == 2 * len(told)
    assert set(changes.rule) == {"McNemar", "paired bootstrap"}

    def successes(deviation):
        cell = cells_of(deviation)["asr"]
        studies = [Study(changed(profile, deviation)) for profile in run.profiles]
        return [one.after for study in studies for one in study.attack(cell.row, cell.attack).prompts]

    for deviation in some:
        if deviation.what != "usual":
            mine, usual = successes(deviation), successes(USUAL[deviation.method, deviation.component])
            (row,) = changes[(changes.deviation == deviation.what) & (changes.metric == "asr")].itertuples()
            assert row.difference == pytest.approx(100 * (sum(mine) - sum(usual)) / len(mine))
            alone = (
                sum(m and not u for m, u in zip(mine, usual)),
                sum(u and not m for m, u in zip(mine, usual)),
            )
            assert row.p == pytest.approx(binomtest(alone[0], sum(alone)).pvalue if sum(alone) else 1)
    studies, usual = ([Study(changed(run.profile, one))] for one in (some[-1], USUAL["UCE", "UNet"]))
    cell = cells_of(some[-1])["asr"]
    once, twice = (compare_cells(cell, n * studies, cell, n * usual) for n in (1, 2))
    assert once.value == twice.value and once.high - once.low > twice.high - twice.low  # seeds are pooled
    other_drawing = next(one for one in DEVIATIONS if one.settings)
    pair = [other_drawing, USUAL[other_drawing.method, other_drawing.component]]
    assert deviations.differences(run, pair).rule.tolist() == ["Newcombe", "MOVER"]
    figure = deviations.plot_differences(changes, run.profile.fid_features)
    axes = figure.axes
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["-100", "-10", "0", "10", "100"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == [
        f"{row.method}: {row.deviation}" for row in changes[changes.metric == "asr"].itertuples()
    ]


def test_lambda_is_shown_for_every_seed_and_iteration(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    run = Run(quick=True, seeds=2, out=tmp_path / "out")
    fill_cells(tmp_path / "store", [Job(one.profile, one.protocol.model(ED)) for one in run.studies])
    table = deviations.erasediff_multipliers(run)
    assert table.seed.value_counts().to_dict() == {0: 5, 1: 5}
    for study in run.studies:
        numbers = study.store.read("erase", study.protocol.model(ED).recipe)["result"]["numbers"]["lambda"]
        assert table[table.seed == study.profile.seed]["lambda"].tolist() == numbers
    lines = deviations.plot_multipliers(table).axes[0].lines
    assert {len(line.get_xdata()) for line in lines[:2]} == {5}


def test_weights_from_elsewhere_have_no_lambda(tmp_path):
    where = tmp_path / "ED.pt"
    where.write_bytes(b"weights")
    with pytest.raises(UserError, match="was not trained here, so its lambda is not known"):
        deviations.erasediff_multipliers(Run(overrides=[f"checkpoint=nudity:ED:UNet={where}"]))
