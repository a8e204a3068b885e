"""``tier=preview`` is the same protocol with less of what costs, and says so."""

import pytest

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.resolve import attack_budget
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.report import Run
from advunlearn_lib.report.folders import results_folder

ROW = Row("nudity", "ESD", "UNet")


def test_the_papers_preview_is_what_the_documents_say():
    full, small = load_profile("paper"), load_profile("paper", ["tier=preview"])
    assert (small.fid_images, small.prompts, small.sampler) == (1000, 40, "dpm++")
    assert (small.sampling_steps, small.quality_steps, small.target_steps) == (25, 25, 25)
    for attack in ("UnlearnDiffAtk", "P4D", "CCE", "PEZ", "PH2P"):
        budgets = [attack_budget(one, attack, one.concepts["nudity"], {}) for one in (full, small)]
        work = [budget.timesteps * budget.steps for budget in budgets]
        assert 0.22 <= work[1] / work[0] <= 0.25, attack
        assert budgets[0].model_copy(update={"timesteps": 1, "steps": 1}) == budgets[1].model_copy(
            update={"timesteps": 1, "steps": 1}
        )


def test_the_model_of_a_preview_is_the_tables_own():
    keys = [Protocol(load_profile("pocket", some)).model(ROW).key for some in ([], ["tier=preview"])]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("name", ["pocket", "paper"])
def test_models_are_trained_as_ever_and_nothing_gets_larger(name):
    full, small = load_profile(name), load_profile(name, ["tier=preview"])
    assert (full.methods, full.scale, full.precision) == (small.methods, small.scale, small.precision)
    for field in (
        "fid_images",
        "prompts",
        "sampling_steps",
        "quality_steps",
        "target_steps",
        "attack_timesteps",
    ):
        assert getattr(small, field) <= getattr(full, field)


def test_what_is_set_beside_it_wins_whatever_the_order():
    for overrides in (["tier=preview", "fid_images=500"], ["fid_images=500", "tier=preview"]):
        assert load_profile("paper", overrides).fid_images == 500
    assert load_profile("paper", ["tier=full"]) == load_profile("paper")
    with pytest.raises(UserError, match="tier"):
        load_profile("paper", ["tier=small"])


def test_it_is_marked_everywhere_and_kept_apart(tmp_path):
    stamp = Run(overrides=["tier=preview"], out=tmp_path).stamp
    assert stamp.startswith("PREVIEW, ") and "tier=preview" in stamp
    assert results_folder("pocket", False, ["tier=preview"], None, 1) != results_folder(
        "pocket", False, [], None, 1
    )
