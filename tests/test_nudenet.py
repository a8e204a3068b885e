"""NudeNet's real package and network see red as red."""

import numpy as np
import pytest
import torch

from advunlearn_lib.data.emoji import fresh_scenes
from advunlearn_lib.metrics.nudenet import NudeNetJudge
from advunlearn_lib.metrics.nudenet_classes import EXPOSED
from advunlearn_lib.profiles.pocket import POCKET

pytest.importorskip("nudenet")


@pytest.fixture(scope="module")
def judge():
    return NudeNetJudge(list(EXPOSED))


class Spy:
    """Stands before the network and keeps what it is fed."""

    def __init__(self, session):
        self.session, self.seen = session, []

    def run(self, names, inputs):
        self.seen.append(next(iter(inputs.values())))
        return self.session.run(names, inputs)

    def __getattr__(self, name):
        return getattr(self.session, name)


def test_a_red_picture_reaches_the_network_red(judge, monkeypatch):
    spy = Spy(judge.detector.onnx_session)
    monkeypatch.setattr(judge.detector, "onnx_session", spy)
    red = torch.tensor([1.0, 0.25, 0.0])[None, :, None, None].expand(1, 3, 64, 64)
    judge(red)
    (blob,) = spy.seen
    assert blob.shape[:2] == (1, 3)
    assert np.allclose(blob.mean((0, 2, 3)), [1.0, 64 / 255, 0.0], atol=1e-3)  # channels in the order RGB


def test_a_picture_is_judged_as_the_network_sees_its_rgb_array(judge):
    scenes = fresh_scenes(POCKET.sprites, 24).images
    images = torch.from_numpy(scenes).permute(0, 3, 1, 2).float() / 255
    ours = judge.detections(images)
    for array, detections in zip(scenes, ours, strict=True):
        theirs = judge.detector.detect(np.ascontiguousarray(array))
        assert [(d["class"], d["box"]) for d in detections] == [(d["class"], d["box"]) for d in theirs]
        assert [d["score"] for d in detections] == pytest.approx([d["score"] for d in theirs], abs=1e-4)
