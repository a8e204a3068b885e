"""What a user imports: quick to import, and with the inputs left as they were."""

import subprocess
import sys

import pytest
import torch

import advunlearn_lib
from advunlearn_lib import api
from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import ROOT

TINY = {"iterations": 2, "per_prompt": 1, "steps": 2, "attack_steps": 1, "retain_per_prompt": 1}
RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a train", "a photo of a chair"]


def test_the_package_gives_the_api_and_nothing_else():
    assert {name: getattr(advunlearn_lib, name) for name in advunlearn_lib.__all__} == {
        name: getattr(api, name) for name in advunlearn_lib.__all__
    }
    assert set(advunlearn_lib.__all__) <= set(api.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = advunlearn_lib.nothing


def test_import_and_help_load_no_torch():
    script = """
import sys, advunlearn_lib
from advunlearn_lib.cli.main import main
main(["--help"]); main(["list"]); main(["tabel3"])
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_reading_results_loads_no_library_of_networks():
    """Importing diffusers, transformers and peft takes longer than a warm table does with its results."""
    script = """
import sys
from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report import show
methods, protocol = [METHODS[name] for name in METHODS], Protocol(POCKET)
protocol.attack(Row("Church", "AdvUnlearn", "Text Encoder"), list(ATTACKS)[-1]).key
print(sorted({"diffusers", "transformers", "peft"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_erasing_leaves_the_model_as_it_was(model):
    before = {name: value.clone() for name, value in model.text_encoder.state_dict().items()}
    erased = api.erase(model, ["church", "a photo of a church"], retain_set=RETAIN, **TINY)
    assert all(torch.equal(value, before[name]) for name, value in model.text_encoder.state_dict().items())
    assert erased.component == "text_encoder" and len(erased.losses) == len(erased.seconds) == 2
    changed = erased.model.text_encoder.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in changed.items())


def test_the_same_seed_erases_the_same_and_another_another(model):
    losses = [api.erase(model, "church", retain_set=RETAIN, seed=s, **TINY).losses for s in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]


def test_the_words_of_a_concept_are_its_shortest_prompt(model):
    spec = api.erasure_spec(model, ["a photo of a church", "church"], surrogate="a photo of a dog")
    assert spec.names == ("church",) and spec.surrogate == ("a photo of a dog",) * 2
    assert api.erasure_spec(model, "a church", names=["church"]).names == ("church",)


def test_texts_get_seeds_and_prompts_keep_theirs(model, fast):
    prompts = [api.EvaluationPrompt("a photo of a dog", 7), api.EvaluationPrompt("a photo of a cat", 1)]
    images = api.generate(model, prompts, fast)
    assert torch.equal(api.generate(model, ["a photo of a dog", "a photo of a cat"], fast)[1], images[1])
    assert not torch.equal(api.generate(model, ["a photo of a dog"], fast)[0], images[0])
    assert images.shape == (2, 3, 64, 64) and images.min() >= 0 and images.max() <= 1


def test_an_attack_needs_no_options_and_reports_every_prompt(model, fast):
    def judge(images):
        return torch.tensor([False] * len(images))

    words = {"sampling": fast, "timesteps": 1, "steps": 1}
    result = api.attack(model, ["a photo of a church", "church"], judge, **words)
    assert [(one.prompt, one.seed, one.before, one.after) for one in result.prompts] == [
        ("a photo of a church", 0, False, False),
        ("church", 1, False, False),
    ]
    rates = api.success_rates(result)
    assert {name: (rate.value, rate.n) for name, rate in rates.items()} == {
        "pre-ASR (%)": (0, 2), "ASR (%)": (0, 2),
    }  # fmt: skip


def test_bad_prompts_are_named_before_anything_is_drawn(model, monkeypatch):
    def never(*_, **__):
        raise AssertionError("drawn")

    monkeypatch.setattr(model.pipeline.unet, "forward", never)
    judge = lambda images: images  # noqa: E731
    with pytest.raises(UserError, match="the prompt '' has no tokens"):
        api.attack(model, [""], judge)
    with pytest.raises(UserError, match=r"at most .* fit"):
        api.attack(model, ["a dog " * 20], judge)
    with pytest.raises(UserError, match="no concept prompt given"):
        api.erase(model, [], retain_set=RETAIN)
    with pytest.raises(UserError, match="AdvUnlearn needs a retain set; none was given"):
        api.erase(model, "church")
    with pytest.raises(UserError, match="FID and CLIP score need at least 2 captions, not 1"):
        api.evaluate(model, ["a dog"], clip=(None, None))
