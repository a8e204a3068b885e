"""Sensitive pictures are blurred in figures unless they are asked for; what stands in for them never is."""

from functools import partial
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from advunlearn_lib.experiment.cells import Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.report import panels
from advunlearn_lib.report.prompts import Prompt
from advunlearn_lib.report.reported import reported

SHOWN = {("paper", "nudity", False): False, ("paper", "nudity", True): True, ("paper", "Church", False): True,
         ("pocket", "nudity", False): True}  # fmt: skip
SIDE = 64


@pytest.fixture
def drawn():
    """A picture of hard edges, and a plain one."""
    stripes = torch.zeros(3, SIDE, SIDE)
    stripes[:, :, ::2] = 1
    return torch.stack([stripes, torch.full((3, SIDE, SIDE), 0.2)])


def figure_of(profile, concept, drawn):
    """The pictures that a panel's figure holds, and those that its judge was given."""
    judged = []
    protocol = SimpleNamespace(
        concept=profile.concepts.__getitem__,
        panel=lambda *_: SimpleNamespace(recipe={}),
        judge=lambda _: SimpleNamespace(
            load=lambda _: lambda images: judged.append(images) or images[:, 0, 0, 0] > 2, model_dump=dict
        ),
    )
    store = SimpleNamespace(tensors=lambda kind, recipe, make: make())
    study = SimpleNamespace(
        profile=profile, protocol=protocol, device="cpu", store=store, prompts=lambda _: [],
        pictures=lambda *_: drawn,
    )  # fmt: skip
    study.seen = partial(Study.seen, study)
    item = SimpleNamespace(name="figure1", study=study, stamp="seed 0")
    figure = panels.panel(item, [Row(concept, "ESD")], [Prompt("one", "one"), Prompt("two", "two")])
    held = torch.stack([torch.tensor(np.asarray(axis.images[0].get_array())) for axis in figure.axes])
    plt.close(figure)
    return held.permute(0, 3, 1, 2), judged


@pytest.mark.parametrize(("name", "concept", "asked"), SHOWN)
def test_a_figure_is_blurred_where_it_is_sensitive_and_was_not_asked_for(drawn, name, concept, asked):
    profile = load_profile(name, ["show_sensitive=true"] if asked else [])
    held, judged = figure_of(profile, concept, drawn)
    assert len(judged) == 1 and torch.equal(judged[0], drawn)  # the judge sees them as they are
    if SHOWN[name, concept, asked]:
        assert torch.equal(held, drawn)
        return
    assert held.shape == drawn.shape and held[0].std() < 0.05 < drawn[0].std()
    assert torch.allclose(held[1], drawn[1], atol=1 / 255)  # only what is small is gone


def test_the_blur_is_a_gaussian_of_a_sixteenth(drawn):
    paper = load_profile("paper")
    edge = (torch.arange(SIDE) >= SIDE // 2).float().expand(1, 3, SIDE, SIDE).contiguous()
    ours = panels.shown(edge, paper.concepts["nudity"], paper)[0, 0].numpy()
    told = gaussian_filter(edge[0, 0].numpy(), SIDE / 16, mode="nearest")
    np.testing.assert_allclose(ours, told, atol=0.03)  # PIL's is of three boxes


def test_what_is_shown_is_no_part_of_any_key():
    plain, asked = (Protocol(load_profile("pocket", words)) for words in ([], ["show_sensitive=true"]))
    cells = [number.cell for table in ("3", "5", "9") for number in reported(table)]
    assert len(cells) > 50 and all(plain.cell(cell).key == asked.cell(cell).key for cell in cells)
