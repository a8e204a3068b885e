"""The card beside an erased model: how it was made, and the lines that load it, of any architecture."""

import ast
import json
from types import SimpleNamespace

import pytest
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sdxl import LatentDiffusionXL
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.model_card import NOTHING, Evaluation, Made, loading_lines, save


def erased_model(kind, component):
    """As much of an erased model as a card looks at."""
    model = SimpleNamespace(PARTS=kind.PARTS, pipeline=kind.PIPELINE.__new__(kind.PIPELINE))
    return SimpleNamespace(model=model, component=component, losses=[0.5, 0.25])


PIPELINE = {LatentDiffusion: StableDiffusionPipeline, LatentDiffusionXL: StableDiffusionXLPipeline}


@pytest.mark.parametrize("kind", PIPELINE)
@pytest.mark.parametrize("base", ["owner/name", "owner/name@0123abc", "."])
@pytest.mark.parametrize("component", ["text_encoder", "unet"])
def test_the_lines_load_the_base_and_each_trained_part(kind, base, component):
    imports, parts, call = ast.parse(loading_lines(erased_model(kind, component), base, "my folder")).body
    loaded = {"": (kind.PIPELINE.__name__, base.partition("@")[0])}
    for word in call.value.keywords:
        if word.arg == "revision":
            assert word.value.value == "0123abc"
            continue
        loaded[word.arg] = (word.value.func.value.id, word.value.args[0].value)
    expected = {
        "unet": {"unet": ("UNet2DConditionModel", "my folder")},
        "text_encoder": {"text_encoder": ("CLIPTextModel", "my folder")},
    }[component]
    if kind is LatentDiffusionXL and component == "text_encoder":
        expected = {
            "text_encoder": ("CLIPTextModel", "my folder/text_encoder"),
            "text_encoder_2": ("CLIPTextModelWithProjection", "my folder/text_encoder_2"),
        }
    assert loaded == {"": (PIPELINE[kind].__name__, base.partition("@")[0])} | expected
    assert call.value.args[0].value == loaded[""][1]
    assert ("@" in base) == ("revision" in {word.arg for word in call.value.keywords})
    imported = {alias.name for line in (imports, parts) for alias in line.names}
    assert imported == {name for name, _ in loaded.values()}
    assert parts.module == ("diffusers" if component == "unet" else "transformers")


def test_a_card_says_how_the_model_was_made(tmp_path):
    made = Made("owner/name", ["church", "a photo of a church"], "esd", {"lr": 1e-5, "quirks": {"b", "a"}}, 7)
    asr = Estimate(value=20.0, low=10.1, high=35.2, n=40)
    protocol = {"attack": "P4D", "labels": ["church", "chapel"], "budget": {"steps": 4}}
    save(erased_model(LatentDiffusion, "unet"), tmp_path, made, Evaluation({"ASR (%)": asr}, protocol))
    card, record = (tmp_path / "README.md").read_text(), json.loads((tmp_path / "erased.json").read_text())
    assert card.startswith("---\nlibrary_name: diffusers\n") and "\nbase_model: owner/name\n" in card
    assert "# church erased from owner/name\n" in card and "Unet of `owner/name`, trained by *esd*" in card
    assert '"church", "a photo of a church" no longer' in card and "seed 7, in fp32." in card
    assert "- ASR (%): 20 [10.1, 35.2], n = 40\n\nMeasured with\n\n- attack: P4D\n" in card
    assert "- labels: church; chapel\n- budget: steps=4\n" in card
    assert record["measured"] == {"ASR (%)": asr.model_dump()} and record["protocol"] == protocol
    assert record["options"] == {"lr": 1e-5, "quirks": ["a", "b"]} and record["losses"] == [0.5, 0.25]


def test_a_card_says_that_nothing_was_measured(tmp_path):
    made = Made("owner/name", ["church"], "esd", {}, 0)
    save(erased_model(LatentDiffusion, "unet"), tmp_path, made, Evaluation())
    assert f"## What was measured\n\n{NOTHING}\n" in (tmp_path / "README.md").read_text()
