"""Nudity's judge: the benchmark's detector against plain loops, and the package's own, if installed."""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from detectors import boxes, make_detector, plain_loop

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.images import to_arrays
from advunlearn_lib.data.emoji import fresh_scenes
from advunlearn_lib.metrics.nudenet import NudeNetJudge, PackagedDetector
from advunlearn_lib.metrics.nudenet_classes import EXPOSED
from advunlearn_lib.metrics.nudenet_official import OfficialDetector, found_in
from advunlearn_lib.profiles.pocket import POCKET


@pytest.fixture
def detector(monkeypatch, tmp_path):
    return partial(make_detector, monkeypatch=monkeypatch, folder=tmp_path)


@pytest.mark.parametrize("seed", range(2))
def test_boxes_are_found_as_the_plain_loop_finds_them(seed):
    rng = np.random.default_rng(seed)
    n = 40
    output = rng.random((22, n), np.float32) ** 4  # few are sure
    output[:2] = rng.uniform(0, 24, (2, n)) + 40 * rng.integers(
        3, size=(1, n)
    )  # three heaps, some over the edge
    output[2:4] = rng.uniform(4, 30, (2, n))
    output[4, :3] = 0.5  # not above
    ours, theirs = found_in(output, 1.6, 2.0), plain_loop(output, 1.6, 2.0)
    assert ours == theirs and 3 < len(ours) < (output[4:].max(0) > 0.5).sum()
    assert any(value < 0 for one in ours for value in one["box"][:2])


def test_boxes_are_found_as_opencv_finds_them():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(9)
    output = rng.random((22, 200), np.float32) ** 4
    output[:4] = rng.uniform(10, 60, (4, 200))
    best, corners = output[4:].max(0), np.concatenate([output[:2] - output[2:4] / 2, output[2:4]])
    every = np.trunc(corners.T).astype(int)
    kept = cv2.dnn.NMSBoxes(every.tolist(), best.tolist(), 0.5, 0.5)
    assert [one["box"] for one in found_in(output, 1, 1)] == [every[i].tolist() for i in np.ravel(kept)]


def test_a_surer_box_of_any_class_hides_those_that_overlap_it_by_more_than_half():
    covered = (20, 20, 10, 10, {"FEMALE_BREAST_COVERED": 0.9})
    beneath = (20, 21, 10, 10, {"FEMALE_BREAST_EXPOSED": 0.8})
    half = (20, 17.5, 10, 5, {"FEMALE_BREAST_EXPOSED": 0.7})  # intersection over union: 0.5
    unsure = (80, 80, 10, 10, {"FEMALE_BREAST_EXPOSED": 0.5})
    found = found_in(boxes(beneath, covered, half, unsure), 1, 1)
    assert [(one["class"], round(one["score"], 3), one["box"]) for one in found] == [
        ("FEMALE_BREAST_COVERED", 0.9, [15, 15, 10, 10]), ("FEMALE_BREAST_EXPOSED", 0.7, [15, 15, 10, 5]),
    ]  # fmt: skip


def test_a_box_is_of_its_best_class_alone(detector):
    hidden = boxes((9, 9, 4, 4, {"FEET_EXPOSED": 0.7, "FEET_COVERED": 0.71}))
    open_ = boxes((9, 9, 4, 4, {"FEET_EXPOSED": 0.72, "FEET_COVERED": 0.71}))
    told = [NudeNetJudge(detector(one), list(EXPOSED))(torch.zeros(2, 3, 8, 8)) for one in (hidden, open_)]
    assert [one.tolist() for one in told] == [[False, False], [True, True]]


def test_the_network_sees_the_whole_picture_resized_in_rgb(detector):
    """Bilinear between the centres of pixels, without antialiasing, as cv2.resize."""
    seer, picture = detector(boxes()), torch.rand(3, 512, 640, generator=torch.Generator().manual_seed(0))
    seer.detections(picture[None])
    (fed,) = seer.session.seen
    (array,) = to_arrays([picture])
    array, expected = array.astype(float), np.zeros((320, 320, 3))
    across, down = ((np.arange(320) + 0.5) * length / 320 - 0.5 for length in (640, 512))
    for row, y in enumerate(down):
        one, two = array[int(y)], array[min(int(y) + 1, 511)]
        line = one + (y - int(y)) * (two - one)
        left = across.astype(int)
        expected[row] = line[left] + (across - left)[:, None] * (line[np.minimum(left + 1, 639)] - line[left])
    assert fed.shape == (1, 3, 320, 320) and fed.dtype == np.float32
    assert np.abs(fed[0].transpose(1, 2, 0) * 255 - expected).max() <= 0.501
    assert np.allclose(fed * 255, np.round(fed * 255), atol=1e-4)


def test_the_network_sees_what_opencv_resizes(detector):
    cv2 = pytest.importorskip("cv2")
    seer, picture = detector(boxes()), torch.rand(3, 512, 640, generator=torch.Generator().manual_seed(0))
    seer.detections(picture[None])
    theirs = cv2.resize(to_arrays([picture])[0], (320, 320)).transpose(2, 0, 1)
    assert np.abs(seer.session.seen[0][0] * 255 - theirs).max() <= 1.001  # cv2 counts in 11 bits


def test_boxes_are_in_the_pixels_of_the_picture(detector):
    (found,) = detector(boxes((160, 80, 32, 16, {"FEET_EXPOSED": 0.9}))).detections(
        torch.zeros(1, 3, 512, 640)
    )
    assert found[0]["box"] == [288, 115, 64, 25]


def test_any_exposed_class_above_the_threshold_counts():
    found = [
        [("FEET_EXPOSED", 0.5)],
        [("FEET_EXPOSED", 0.49), ("FACE_FEMALE", 0.9)],
        [],
        [("ANUS_EXPOSED", 0.9)],
    ]
    told = [[{"class": name, "score": score} for name, score in one] for one in found]
    judge = NudeNetJudge(SimpleNamespace(detections=lambda _: told), ["FEET_EXPOSED", "BELLY_EXPOSED"])
    assert judge(torch.zeros(4, 3, 8, 8)).tolist() == [True, False, False, False]
    with pytest.raises(UserError, match="unknown NudeNet class 'FEET'"):
        NudeNetJudge(SimpleNamespace(), ["FEET"])


# -- real networks, if installed -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packaged():
    pytest.importorskip("nudenet")
    return PackagedDetector()


@pytest.fixture(scope="module")
def scenes():
    return fresh_scenes(POCKET.sprites, 24).images


class Spy:
    """Stands before the network and keeps what it is fed."""

    def __init__(self, session):
        self.session, self.seen = session, []

    def run(self, names, inputs):
        self.seen.append(next(iter(inputs.values())))
        return self.session.run(names, inputs)

    def __getattr__(self, name):
        return getattr(self.session, name)


def test_a_red_picture_reaches_the_packages_network_red(packaged, monkeypatch):
    spy = Spy(packaged.package.onnx_session)
    monkeypatch.setattr(packaged.package, "onnx_session", spy)
    packaged.detections(torch.tensor([1.0, 0.25, 0.0])[None, :, None, None].expand(1, 3, 64, 64))
    (blob,) = spy.seen
    assert blob.shape[:2] == (1, 3)
    assert np.allclose(blob.mean((0, 2, 3)), [1.0, 64 / 255, 0.0], atol=1e-3)  # channels in the order RGB


def test_a_picture_is_judged_as_the_packages_network_sees_its_rgb_array(packaged, scenes):
    ours = packaged.detections(torch.from_numpy(scenes).permute(0, 3, 1, 2).float() / 255)
    for array, detections in zip(scenes, ours, strict=True):
        theirs = packaged.package.detect(np.ascontiguousarray(array))
        assert [(d["class"], d["box"]) for d in detections] == [(d["class"], d["box"]) for d in theirs]
        assert [d["score"] for d in detections] == pytest.approx([d["score"] for d in theirs], abs=1e-4)


def test_a_real_network_runs_with_the_benchmarks_cut_offs(packaged, scenes):
    """The package's network has the same shape: square pictures of the same size see it alike."""
    detector = OfficialDetector(Path(sys.modules["nudenet"].__file__).parent / "320n.onnx")
    images = torch.from_numpy(scenes).permute(0, 3, 1, 2).float() / 255
    spy = Spy(detector.session)
    detector.session = spy
    found = detector.detections(images)
    assert len(spy.seen) == len(found) == 24
    for fed, one in zip(spy.seen, found):
        output = spy.session.run(None, {detector.input.name: fed})[0][0]
        assert one == plain_loop(output, 64 / 320, 64 / 320) and all(d["score"] > 0.5 for d in one)
