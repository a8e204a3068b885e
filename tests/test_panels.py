"""Figures under both profiles: the paper's prompts or what stands for them, and a text that says which."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch

from advunlearn_lib.diffusion.prompts import EvaluationPrompt
from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.profiles.paper import PAPER
from advunlearn_lib.profiles.pocket import POCKET
from advunlearn_lib.report import Item, Run, panels
from advunlearn_lib.report.items import ITEMS, TABLES
from advunlearn_lib.report.prompts import Panel, Prompt, panels_of

PROFILES = {"paper": PAPER, "pocket": POCKET}
PROMPTS = [Prompt("Hot girl", "a photo of a weapon", attacked=True), Prompt("a nude", "a photo of a dagger")]
ROWS = [Row("nudity", "SD v1.4"), Row("nudity", "ESD", "UNet")]


class Study:
    """A study whose every picture is grey, and which keeps what it was asked to draw."""

    def __init__(self, profile):
        known = {"paper": ["a red girl", "Hot summer girl"], "pocket": ["a photo of a weapon", "an axe"]}
        self.known = [EvaluationPrompt(text, 40 + i) for i, text in enumerate(known[profile.name])]
        self.profile, self.drawn = profile, []
        self.protocol = SimpleNamespace(concept=profile.concepts.__getitem__)

    def prompts(self, concept):
        return self.known

    def attack(self, row):
        outcomes = [
            SimpleNamespace(adversarial=f"{row.method}! {prompt.text}", seed=prompt.seed)
            for prompt in self.known
        ]
        return SimpleNamespace(prompts=outcomes)

    def seen(self, row, texts, seeds):
        return [number == 0 for number in range(len(texts))]

    def pictures(self, row, texts, seeds):
        self.drawn.append((row.method, texts, seeds))
        return torch.full((len(texts), 3, 4, 4), 0.5)


@pytest.fixture(params=PROFILES)
def item(request):
    return SimpleNamespace(name="figure1", study=Study(PROFILES[request.param]), stamp="seed 0")


def test_a_panel_draws_the_prompts_of_its_profile(item):
    figure = panels.panel(item, ROWS, PROMPTS)
    attacked, seed, plain = {  # the nearest evaluation prompt, its seed, the plain prompt
        "paper": ("Hot summer girl", 41, "a nude"),
        "pocket": ("a photo of a weapon", 40, "a photo of a dagger"),
    }[item.study.profile.name]
    assert item.study.drawn == [(row.method, [f"{row.method}! {attacked}", plain], [seed, 1]) for row in ROWS]
    heads = [axis.get_title().replace("\n", " ") for axis in figure.axes[:2]]
    assert heads == [f"attacked: {attacked}", plain]
    assert [axis.get_xlabel() for axis in figure.axes] == ["SD v1.4!", "", "ESD!", ""]
    concept = {"paper": "nudity", "pocket": "weapon"}[item.study.profile.name]
    said = figure.get_suptitle().replace("\n", " ")
    assert said == f"Under attack the judge sees {concept} (red frame): SD v1.4, ESD UNet figure1, seed 0"
    plt.close(figure)


def test_the_mapping_shows_what_is_drawn(item):
    table = panels.mapping(item, "nudity", PROMPTS)
    assert table["the paper's prompt"].tolist() == ["Hot girl", "a nude"]
    assert table["kind"].tolist() == ["attacked", "plain"]
    here = {"paper": ["Hot summer girl", "a nude"], "pocket": ["a photo of a weapon", "a photo of a dagger"]}
    assert table["here"].tolist() == here[item.study.profile.name]


@pytest.mark.parametrize("name", ITEMS)
def test_every_panel_has_the_papers_words_and_the_emoji_worlds(name, model):
    panels = panels_of(name)
    assert bool(panels) == (
        name not in ("figure2", "table9")
    )  # points; attacks that learn more than a prompt
    for prompt in (prompt for panel in panels for prompt in panel.prompts):
        assert prompt.text(PAPER) == prompt.paper and prompt.text(POCKET) == prompt.emoji
        assert "weapon" not in prompt.paper.lower()
        ids = model.tokenizer(prompt.emoji).input_ids
        assert model.tokenizer.decode(ids, skip_special_tokens=True).strip() == prompt.emoji


def test_a_panels_rows_and_columns(item):
    item.rows = lambda: [*ROWS, Row("Church", "ESD", "UNet")]
    rows, prompts = panels.choose(item, Panel(tuple(PROMPTS), methods=("ESD",), evaluated=1))
    first = item.study.known[0].text
    assert rows == ROWS[1:] and prompts == [Prompt(first, first, attacked=True), *PROMPTS]
    assert panels.choose(item, Panel((), "Church"))[0] == [Row("Church", "ESD", "UNet")]


def test_models_are_named_by_what_tells_them_apart(item):
    variants = [ROWS[1]._replace(variant=name) for name in ("Add", "Prefix")]
    labels = [axis.get_ylabel() for axis in panels.panel(item, variants, PROMPTS).axes[::2]]
    assert labels == ["Add", "Prefix"]
    assert panels.panel(item, ROWS[1:], PROMPTS).axes[0].get_ylabel() == "ESD"
    assert panels.added("a cat here", "an axe") == "a cat here"  # it replaced the prompt
    assert panels.added("pon dirka photo of a bow", "a photo of a bow") == "pon dirk"  # grown together
    assert panels.added("a bow", "a bow") == panels.added("A Bow", "a bow") == ""
    assert panels.added("bow", "a bow") == "bow"
    assert (
        panels.added("pon dirk starry night by van gogh , oil", "Starry Night by Van Gogh, oil") == "pon dirk"
    )
    plt.close("all")


@pytest.mark.parametrize(("attacked", "said"), [
    ([0, 1], "Under attack the judge sees weapon (red frame), of 2: ESD UNet 2, UCE 1"),
    ([1], "Under attack the judge sees weapon (red frame): ESD UNet"),
    ([2], "Under attack the judge sees weapon (red frame): nowhere"),
])  # fmt: skip
def test_a_panels_title_says_what_it_shows(attacked, said):
    framed = {"ESD\nUNet": [True, True, False], "UCE": [True, False, False]}
    assert panels.finding("weapon", framed, attacked) == said


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """What an item says of its profile."""
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path))
    return lambda name, *run: Item(name, Run(*run, out=tmp_path)).setting()


def test_the_pocket_profile_names_its_stand_ins(setting):
    text = setting("table3")
    assert "Profile **pocket**." in text and "*nudity* is replaced by *weapon*, a harmless stand-in." in text
    assert "FID (judge features): compare it down the column only." in text
    assert "replaced" not in setting("table7") and "FID" not in setting("tableA5")
    every = setting("table9")  # all six concepts: five of them are themselves
    assert every.count("is replaced by") == 1


def test_the_paper_profile_has_none(setting):
    for name in TABLES:
        text = setting(name, "paper")
        assert "Profile **paper**." in text and "replaced" not in text and "weapon" not in text
    assert "FID (Inception features): compare it with the paper." in setting("table3", "paper")


def test_features_that_were_changed_are_said(setting):
    assert "FID (Inception features)" in setting("table3", "pocket", ["fid_features=inception"])
    assert "FID (judge features)" in setting("table3", "paper", ["fid_features=judge-object"])
