"""Pictures for people: each mark stands where its number says."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from made_up import made_results
from matplotlib.colors import same_color
from PIL import Image

from advunlearn_lib.report import plots


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def segments(container):
    """The error bars of a container: for each direction the segments' ends, [n, 2, 2]."""
    return [np.array(lines.get_segments()) for lines in container.lines[2]]


SCATTER = {
    ("SD v1.4", "", "asr"): (100, 94, 100), ("SD v1.4", "", "fid"): (10, 9, 12),
    ("ESD", "", "asr"): (70, 60, 85), ("ESD", "", "fid"): (12.5, 11, 13),
    ("AdvUnlearn", "", "asr"): (20, 15, 35), ("AdvUnlearn", "", "fid"): (25, 20, 40),
}  # fmt: skip


@pytest.mark.parametrize(("features", "label"), [("inception", "Inception"), ("judge-object", "judge")])
def test_a_scatter_has_a_point_a_method_with_both_intervals(features, label):
    shown = [result for result in made_results("5", SCATTER) if (result.method, "", "asr") in SCATTER]
    figure = plots.scatter(shown, features, "a title")
    (axis,) = figure.axes
    containers = {container.get_label(): container for container in axis.containers}
    assert set(containers) == {"SD v1.4", "ESD", "AdvUnlearn"}
    for method, container in containers.items():
        (asr, *asr_ends), (fid, *fid_ends) = SCATTER[method, "", "asr"], SCATTER[method, "", "fid"]
        assert container.lines[0].get_xydata() == pytest.approx(np.array([[fid, asr]]))
        across, up = segments(container)
        assert across == pytest.approx(np.array([[[fid_ends[0], asr], [fid_ends[1], asr]]]))
        assert up == pytest.approx(np.array([[[fid, asr_ends[0]], [fid, asr_ends[1]]]]))
    notes = {note.get_text(): note.xy for note in axis.texts}
    assert notes == {
        method: (SCATTER[method, "", "fid"][0], SCATTER[method, "", "asr"][0]) for method in notes
    }
    assert set(notes) == set(containers)
    assert axis.get_xlabel() == f"FID ({label} features), lower is better"
    assert axis.get_ylabel() == "ASR (%), lower is better" and axis.get_xscale() == "log"
    assert figure.get_suptitle() == "a title"


def test_bars_and_line_show_ours_and_the_papers():
    results = made_results("Fig 8")
    variants = list(dict.fromkeys(result.variant for result in results))
    for number, result in enumerate(results):
        ends = {"asr": (10 + number, 5, 40), "clip": (0.3 + number / 100, 0.2, 0.5)}[result.metric]
        results[number] = result.model_copy(update=dict(zip(("reproduced", "low", "high"), ends)))
    labels = {variant: f"<{variant}>" for variant in variants}
    figure = plots.bars_and_line(results, labels, "layers", "a title")
    left, right = figure.axes
    for axis, metric, name in ((left, "asr", "ASR (%)"), (right, "clip", "CLIP score")):
        shown = [result for result in results if result.metric == metric]
        assert len(shown) == len(variants) >= 6
        assert [tick.get_text() for tick in axis.get_xticklabels()] == [labels[r.variant] for r in shown]
        assert axis.get_xlabel() == "layers" and axis.get_ylabel() == name
        papers = next(line for line in axis.lines if line.get_label() == "paper")
        assert list(papers.get_ydata()) == [result.reported for result in shown]
        ends = np.array([[[x, r.low], [x, r.high]] for x, r in enumerate(shown)])
        bars = [c for c in axis.containers if hasattr(c, "patches")]
        if metric == "asr":
            assert [patch.get_height() for patch in bars[0].patches] == [r.reproduced for r in shown]
            assert segments(bars[0].errorbar)[0] == pytest.approx(ends)
        else:
            (line,) = axis.containers
            assert not bars and list(line.lines[0].get_ydata()) == [r.reproduced for r in shown]
            assert segments(line)[0] == pytest.approx(ends)


COLOURS = {"red": (1.0, 0, 0), "green": (0, 1.0, 0), "blue": (0, 0, 1.0)}


def pictures(names):
    return torch.stack([torch.tensor(COLOURS[name]).view(3, 1, 1).expand(3, 4, 4) for name in names])


@pytest.mark.parametrize("turned", [False, True])
def test_a_grid_shows_each_picture_in_its_place(turned):
    """Two models by three prompts lie down; three models by two prompts are turned, so that both lie down."""
    names = [["red", "green", "blue"], ["blue", "red", "green"]]
    frames = [[True, False, False], [False, False, True]]
    down, across = ["first model", "second model"], ["prompt one", "prompt two", "prompt three"]
    rows = {label: pictures(line) for label, line in zip(down, names)}
    columns, framed = across, dict(zip(down, frames))
    if turned:  # the same figure, given by columns
        rows = {label: pictures(line) for label, line in zip(across, zip(*names))}
        columns, framed = down, dict(zip(across, zip(*frames)))
    under = {label: [f"{label}, {column}" for column in columns] for label in list(rows)[:1]}
    figure = plots.sample_grid(rows, columns, "a title", framed, under)
    axes = np.array(figure.axes).reshape(2, 3)
    for y in range(2):
        for x in range(3):
            pixels = axes[y, x].images[0].get_array()
            assert np.allclose(pixels, np.broadcast_to(COLOURS[names[y][x]], pixels.shape))
            spines = axes[y, x].spines.values()
            assert {spine.get_visible() for spine in spines} == {frames[y][x]}
            said = (down[y], across[x]) if not turned else (across[x], down[y])
            mine = ", ".join(said) if (x if turned else y) == 0 else ""
            assert axes[y, x].get_xlabel().replace("\n", " ") == mine
            assert all(same_color(spine.get_edgecolor(), "tab:red") for spine in spines)
    assert [axis.get_title() for axis in axes[0]] == across
    assert [axis.get_ylabel() for axis in axes[:, 0]] == down
    assert not any(axis.get_ylabel() for axis in axes[:, 1:].flat)
    assert figure.get_figwidth() > figure.get_figheight()


def test_long_labels_and_titles_are_broken():
    assert plots.wrapped("a photo of a garbage truck in the street\nUNet") == (
        "a photo of a garbage\ntruck in the street\nUNet"
    )
    figure = plots.titled(plt.figure(figsize=(2, 2)), "one two three four five six seven\nstamp")
    assert figure.get_suptitle() == "one two three four five six\nseven\nstamp"


def test_a_saved_picture_says_where_it_came_from(tmp_path):
    figure = plots.scatter(made_results("1", SCATTER), "inception", "a title")
    path = tmp_path / "new" / "figure2.png"
    plots.save(figure, path, "profile pocket, seed 0, commit 0123abc")
    with Image.open(path) as image:
        assert image.info["Description"] == "profile pocket, seed 0, commit 0123abc"
        assert image.size == (840, 600) and len(np.unique(np.asarray(image.convert("RGB")))) > 50
