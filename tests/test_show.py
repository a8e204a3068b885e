"""What ``item.show()`` adds to the numbers: the best, the marks of claims, what headings say."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_up import made_results

from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.report import Item, Run, claims, plots, show, tables


def test_the_styled_table_has_the_best_in_bold_and_the_marks_of_claims():
    results = made_results()
    judged = claims.judge(results)
    marks = claims.marks(judged)
    said = re.findall(r'title="(\w+): [^"]*">(.)<sup>([\d.]+)</sup>', " ".join(marks.values()))
    assert {id: verdict for verdict, _, id in said} == dict(zip(judged.id, judged.verdict))
    assert {(verdict, sign) for verdict, sign, _ in said} == set(claims.SIGNS.items())
    ones = dict.fromkeys({one.row for one in results}, Estimate(value=1, low=0, high=2, n=60))
    page = tables.styled(results, "judge-object", ones, marks)
    cells = re.findall("<td>(.*?)</td>", page)
    assert len(cells) == 25 and re.sub("<.*?>", "", cells[18]) == "3.5 | 5.0 [2.0, 9.0] ✓3.2"
    assert page.count("<b>") == 2 and "<b>5.0</b>" in page and "<b>12.0</b>" in page  # 10.0 is the original's


def test_the_best_clip_score_is_the_highest_and_across_attacks_there_is_none():
    results = made_results("5")
    top = next(one for one in results if one.metric == "clip" and one.method == "UCE")
    results[results.index(top)] = top.model_copy(update={"reproduced": 60})
    assert {cell for cell in tables.best(results) if cell.metric == "clip"} == {top.cell}
    assert tables.best(made_results("9")) == set()


@pytest.mark.parametrize("table", ["3", "5", "9", "A2", "A5"])
def test_dots_show_every_number_of_the_paper_and_ours(table):
    results = made_results(table)
    figure = plots.dots(results, "judge-object", "a title")
    drawn = [axis for axis in figure.axes if axis.axison]
    hollow = [line for axis in drawn for line in axis.lines if line.get_marker() == "D"]
    assert sorted(float(line.get_xdata()[0]) for line in hollow) == sorted(one.reported for one in results)
    assert {line.get_markerfacecolor() for line in hollow} == {"none"}
    assert sum(len(axis.containers) for axis in drawn) == len(results)
    _, varying = tables.arranged(results)
    heads = {tuple(tables.head_text(one, field) for field in varying) for one in results}
    assert len(drawn[0].get_yticklabels()) == len(heads)
    plt.close(figure)


def luminance(colour):
    return float(np.dot(plt.matplotlib.colors.to_rgb(colour), (0.2126, 0.7152, 0.0722)))


def test_the_papers_method_is_never_the_palest():
    ours, other, base = (luminance(plots.look(name)["color"]) for name in ("AdvUnlearn", "ESD", "SD v1.4"))
    assert base < ours < other - 0.1


def test_headings_say_what_was_found():
    judged = claims.judge(made_results())
    assert show.verdict(judged) == ": 4 of 6 claims hold, 1 fail, 1 stay undecided"
    assert show.verdict(judged[:0]) == ""
    assert (show.heading("tableA5"), show.heading("figure2")) == ("Table A5", "Figure 2")
    places = {"FMN": (60, 30), "SalUn": (40, 60), "AdvUnlearn": (50, 40)}
    results = [
        one.model_copy(update={"reproduced": places[one.method][one.metric == "fid"]})
        for one in made_results("5")
        if one.method in places
    ]
    assert show.standing(results).endswith("a lower ASR than 1, and a lower FID than 1, of 2 other methods")


def test_outcomes_and_training_are_those_of_the_store(own_store, tmp_path):
    item = Item("table1", Run(quick=True, out=tmp_path))
    outcomes, training = item.outcomes(), item.training()
    assert list(outcomes.model.unique()) == ["SD v1.4", "ESD", "AT-ESD"]
    for row in item.rows():
        mine = outcomes[outcomes.model == item.label(row)]
        assert mine.adversarial.tolist() == [one.adversarial for one in item.study.attack(row).prompts]
        assert set(mine.rounds) == {item.profile.attack_timesteps}
        if row.method != "SD v1.4":
            record = item.study.record(item.study.protocol.model(row))
            assert training[training.model == item.label(row)].loss.tolist() == record["result"]["losses"]
    assert set(training.model) == {"ESD", "AT-ESD"}
