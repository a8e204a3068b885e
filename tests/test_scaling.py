"""docs/scaling.md has the hours that the benchmark's counts and the measured seconds give."""

import pytest

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.profiles.paper import PAPER
from benchmarks import cost


def test_the_page_has_what_the_script_prints(capsys):
    cost.main()
    page = (ROOT / "docs/scaling.md").read_text()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(lines) > 20 and [line for line in lines if line not in page] == []


def test_an_iteration_is_what_was_measured():
    """AdvUnlearn's, which is put together from those of ESD and AT-ESD, is its own on the UNet."""
    options = {"attack_steps": 30, "retain_weight": 0.3}
    for method in ("ESD", "AT-ESD", "AdvUnlearn", "SalUn"):
        weight = 0.0 if method == "AT-ESD" else 0.3
        row = Row("nudity", method, "UNet")
        measured = [seconds for (what, _, _), seconds in cost.MEASURED.items() if what == f"{method}, UNet"]
        assert cost.iteration(row, options | {"retain_weight": weight}) == pytest.approx(measured[-1])
    encoder = cost.iteration(Row("nudity", "AdvUnlearn", "Text Encoder"), options)
    assert encoder == pytest.approx(cost.MEASURED["AdvUnlearn, Text Encoder", "bf16", 1], rel=0.1)


def test_an_attack_by_hand():
    """UnlearnDiffAtk on 142 prompts: 2 in 10 of its steps are spared."""
    shown = (2 * 50 + cost.DECODE) * 0.01492
    wanted = 142 * (shown + 0.8 * 50 * (40 * 0.04318 + shown))
    assert cost.attacking(PAPER, "UnlearnDiffAtk", "broad") == pytest.approx(wanted)
