"""The baselines: each erases and touches its own parameters only."""

import pytest
import torch
from tasks import ANCHORS, CHURCH, PICTURE_OPTIONS, RELABELLING, RETAIN, church

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.store import Cache, Store
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.erasure.loop import prepare, train
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.erasure.task import Task
from advunlearn_lib.metrics.judges import Classifier, LabelJudge
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET

QUICK = {  # enough to erase a church, no more
    "fmn": PICTURE_OPTIONS | {"iterations": 25, "lr": 1e-3},
    "uce": {},
    "ac": PICTURE_OPTIONS | {"iterations": 25, "lr": 3e-3, "templates": ("a {name}",), "anchors": ANCHORS},
    "spm": {
        "steps": 8,
        "per_prompt": 6,
        "iterations": 25,
        "batch": 8,
        "lr": 2e-2,
        "rate_warm_up": 2,
        "rate_cycles": 1,
        "anchor_batch": 1,
        "anchor_weight": 1.0,
        "eta": 3.0,
    },
    "salun": RELABELLING | {"iterations": 20, "lr": 1e-3, "alpha": 0.5, "mask_batches": 2},
    "erasediff": RELABELLING | {"iterations": 12, "lr": 1e-3, "group": "full"},
    "scissorhands": RELABELLING | {"iterations": 8, "lr": 1e-3, "snip_batches": 2},
}


def success_rate(model):
    """Of 16 prompts for a church."""
    judge = LabelJudge(Classifier(POCKET.judge("judge-object")), ["church"])
    return judge(model.generate([CHURCH] * 16, range(16), Sampling("dpm++", 4, 5.0), 16)).float().mean()


@pytest.fixture(scope="module")
def before_erasing(model):
    return success_rate(model)


@pytest.mark.parametrize("name", list(QUICK))
def test_erases_and_touches_its_own_parameters_only(model, before_erasing, name):
    method = prepare(name, church(model), QUICK[name])
    wanted = set(method.trained)
    erased = train(method).model
    assert before_erasing > 0.8 and success_rate(erased) <= before_erasing - 0.25

    before, after = (dict(m.unet.named_parameters()) for m in (model, erased))
    assert before.keys() == after.keys()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    if name == "spm":  # adapters are merged into the weights they sat on
        wanted = {key.split(".lora_")[0].replace("base_layer", "") + ".weight" for key in wanted}
    assert moved <= wanted and len(moved) > 0.5 * len(wanted)
    assert erased.text_encoder is model.text_encoder


def test_pictures_are_made_once(model, tmp_path):
    def latents():
        task = church(model, cache=Cache(Store(tmp_path), {"base": "pocket"}))
        return prepare("ac", task, QUICK["ac"]).anchor.latents

    first = latents()
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert torch.equal(latents(), first) and len(files) == 1
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == files


def test_what_is_missing_is_named(model):
    with pytest.raises(UserError, match="SalUn needs a surrogate"):
        prepare("salun", Task(model, ["church"], RETAIN), RELABELLING)
    with pytest.raises(UserError, match="EraseDiff needs a retain set"):
        prepare("erasediff", Task(model, ["church"], surrogate=["dog"]), RELABELLING)


@pytest.mark.parametrize("profile", [PAPER, POCKET], ids=lambda one: one.name)
def test_a_name_of_the_concept_stands_in_every_prompt_that_fmn_is_fed(profile):
    for concept in profile.concepts.values():
        for prompt in concept.forget():
            assert any(f" {name.lower()} " in f" {prompt.lower()} " for name in concept.names), prompt


def test_every_method_is_tested_here_or_in_test_erasure():
    assert set(METHODS) == {"esd", "advunlearn", *QUICK}
