"""The card beside an erased model: how it was made, and the lines that load it, of any architecture."""

import ast
import json
import re
from types import SimpleNamespace

import pytest
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import ModelCard

from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sdxl import LatentDiffusionXL
from advunlearn_lib.experiment.card import NOTHING, Evaluation, Made, write_card
from advunlearn_lib.metrics.estimate import Estimate


def made(kind=LatentDiffusion, component="unet", base="owner/name", **spec):
    """As much of an erased model as a card looks at."""
    model = SimpleNamespace(PARTS=kind.PARTS, pipeline=PIPELINE[kind].__new__(PIPELINE[kind]), name=base)
    usual = {"method": "esd", "options": {}, "concept": ["church"], "seed": 7, "precision": "fp32"}
    return Made(model, component, usual | spec, [0.5, 0.25])


PIPELINE = {LatentDiffusion: StableDiffusionPipeline, LatentDiffusionXL: StableDiffusionXLPipeline}


@pytest.mark.parametrize("kind", PIPELINE)
@pytest.mark.parametrize("base", ["owner/name", "owner/name@0123abc", "."])
@pytest.mark.parametrize("component", ["text_encoder", "unet"])
def test_the_lines_load_the_base_and_each_trained_part(kind, base, component):
    imports, parts, call = ast.parse(made(kind, component, base).loading_lines("my folder")).body
    loaded = {"": (kind.PIPELINE, base.partition("@")[0])}
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
    options = {"lr": 1e-5, "quirks": ["a", "b"]}
    church = made(concept=["church", "a photo of a church"], options=options)
    asr = Estimate(value=20.0, low=10.1, high=35.2, n=40)
    protocol = {"attack": "P4D", "labels": ["church", "chapel"], "budget": {"steps": 4}}
    write_card(tmp_path, church, Evaluation({"ASR (%)": asr}, protocol))
    card, record = (tmp_path / "README.md").read_text(), json.loads((tmp_path / "erased.json").read_text())
    data = ModelCard(card).data
    assert (data.library_name, data.base_model) == ("diffusers", "owner/name")
    assert data.tags == ["text-to-image", "concept-erasure", "advunlearn"]
    assert "# church erased from owner/name\n" in card and "Unet of `owner/name`, trained by *esd*" in card
    assert '"church", "a photo of a church" no longer' in card and "seed 7, in fp32." in card
    assert "- ASR (%): 20 [10.1, 35.2], n = 40\n\nMeasured with\n\n- attack: P4D\n" in card
    assert "- labels: church; chapel\n- budget: steps=4\n" in card
    assert record["measured"] == {"ASR (%)": asr.model_dump()} and record["protocol"] == protocol
    assert record["spec"] == church.spec and record["losses"] == [0.5, 0.25]


def test_a_card_says_that_nothing_was_measured(tmp_path):
    write_card(tmp_path, made(), Evaluation())
    assert f"## What was measured\n\n{NOTHING}\n" in (tmp_path / "README.md").read_text()


NASTY = "x`\n\n```python\nimport os\n```\n# <script>[a](b)"


def test_what_users_name_is_neither_code_nor_a_heading(tmp_path):
    """A line break in the base's name made four blocks of Python and foreign code."""
    nasty = made(base=NASTY, concept=[NASTY, NASTY])
    write_card(
        tmp_path, nasty, Evaluation({"ASR (%)": Estimate(value=1, low=0, high=2, n=9)}, {"judge": NASTY})
    )
    card = (tmp_path / "README.md").read_text()
    blocks = re.findall(r"^```(\w*)$", card, re.M)
    text = re.sub(r"```.*?\n```$", "", card, flags=re.S | re.M)
    assert blocks == ["python", "", "json", ""] and "<script>" not in text and "[a](b)" not in text
    headings = [line for line in card.splitlines() if line.startswith("#")]
    assert len(headings) == 3 and headings[1:] == ["## What was measured", "## How it was made"]
    lines = re.search(r"^```python\n(.*?)\n```$", card, re.S | re.M)[1]
    _, _, call, image = ast.parse(lines).body
    assert call.value.args[0].value == NASTY and image.targets[0].id == "image"
    assert ModelCard(card).data.base_model is None
