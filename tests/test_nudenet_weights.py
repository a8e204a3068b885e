"""Which nudity detector judges, and where its weights come from."""

import hashlib
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from detectors import boxes, make_detector

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.metrics import judges, nudenet_official
from advunlearn_lib.metrics.nudenet_classes import EXPOSED
from advunlearn_lib.metrics.nudenet_official import OfficialDetector, locate
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.paper import PAPER


def judge_key(profile):
    """What a recipe says of the judge of nudity."""
    return Protocol(profile).judge("nudity").dump()["judge"]


@pytest.fixture
def detector(monkeypatch, tmp_path):
    return partial(make_detector, monkeypatch=monkeypatch, folder=tmp_path)


@pytest.fixture
def weights(tmp_path):
    """A file that stands for best.onnx, and its checksum."""
    (tmp_path / "best.onnx").write_bytes(b"weights")
    return tmp_path / "best.onnx", hashlib.sha256(b"weights").hexdigest()


def one_line(error):
    text = str(error.value)
    return "\n" not in text and "--set detector=FILE" in text and "--set nudity_detector=nudenet" in text


def test_the_paper_profile_takes_the_benchmarks_detector(weights):
    file, checksum = weights
    assert PAPER.nudity_detector == "official" and PAPER.judge("nudenet") == "nudenet"
    local = load_profile("paper", [f"detector={file}"])
    assert local.judge("nudenet") == str(file) and judge_key(local) == f"best.onnx {checksum}"
    packaged = load_profile("paper", ["nudity_detector=nudenet"])
    assert packaged.judge("nudenet") == judge_key(packaged) == "nudenet-320n"
    pinned = load_profile("paper", [f"detector_sha256={checksum}"])
    assert judge_key(pinned) == judge_key(local)  # no file is needed to know it


def test_other_weights_make_another_recipe(weights):
    local = load_profile("paper", [f"detector={weights[0]}"])
    before = judge_key(local)
    weights[0].write_bytes(b"others")
    assert judge_key(local) != before


@pytest.mark.parametrize(("override", "message"), [
    ("nudity_detector=320n", "input should be 'official' or 'nudenet'"),
    ("detector=nowhere.onnx", "setting detector='nowhere.onnx': no such .onnx file"),
    ("detector_sha256=abc", "setting detector_sha256='abc': string should match pattern"),
])  # fmt: skip
def test_bad_settings_are_one_line(override, message):
    with pytest.raises(UserError, match=message.replace(".", r"\.")) as error:
        load_profile("paper", [override])
    assert "\n" not in str(error.value)


def test_local_weights_are_checked(weights):
    file, checksum = weights
    assert locate(str(file)) == locate(str(file), checksum) == file
    with pytest.raises(UserError, match=f"has SHA-256 {checksum}, not detector_sha256={'0' * 64}"):
        locate(str(file), "0" * 64)
    with pytest.raises(UserError, match="cannot get the nudity detector's weights: ") as error:
        locate(str(file.with_name("other.onnx")))
    assert one_line(error)


def test_weights_are_fetched_once_into_the_cache(weights, monkeypatch, tmp_path):
    file, checksum = weights
    asked = []
    monkeypatch.setattr(nudenet_official.pooch, "retrieve", lambda *words: asked.append(words) or str(file))
    monkeypatch.setattr(nudenet_official.pooch, "os_cache", lambda name: tmp_path / name)
    assert locate() == locate(sha256=checksum) == file
    (address, unknown, name, folder), (_, known, *_) = asked
    assert address.endswith("/nudenet/best.onnx") and name == "best.onnx" and unknown is None
    assert folder == tmp_path / "advunlearn_lib" / "nudenet" and known == f"sha256:{checksum}"


@pytest.mark.parametrize(
    "problem", [OSError("no route\nto host"), ValueError("SHA256 hash differs"), OSError()]
)
def test_where_nothing_can_be_fetched_the_way_out_is_told_and_none_is_taken(monkeypatch, problem):
    def retrieve(*_):
        raise problem

    monkeypatch.setattr(nudenet_official.pooch, "retrieve", retrieve)
    monkeypatch.setattr(judges, "PackagedDetector", None)  # never a silent fall back
    for use in (
        lambda: judges.load_judge("nudenet", list(EXPOSED), 0.5),
        lambda: judge_key(PAPER),
    ):
        with pytest.raises(UserError, match="cannot get the nudity detector's weights: ") as error:
            use()
        assert one_line(error)


def test_a_judge_is_made_of_the_detector_that_is_named(weights, detector, monkeypatch):
    file, checksum = weights
    seer = detector(boxes())
    monkeypatch.setattr(judges, "PackagedDetector", lambda: "packaged")
    monkeypatch.setattr(judges, "OfficialDetector", lambda path: (seer, path))
    official = judges.load_judge(str(file), list(EXPOSED), 0.5, sha256=checksum)
    assert official.detector == (seer, file)
    assert judges.load_judge("nudenet-320n", list(EXPOSED), 0.5).detector == "packaged"


def test_without_onnxruntime_the_extra_is_named(monkeypatch, weights):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs the extra 'nudity': pip install 'advunlearn_lib\[nudity\]'"):
        OfficialDetector(weights[0])


def test_a_file_that_is_no_network_of_nudenets_is_one_line(detector, monkeypatch, weights):
    with pytest.raises(UserError, match=r"does not tell NudeNet's 18 classes"):
        detector(np.zeros((84, 0), np.float32))

    def broken(*_, **__):
        raise RuntimeError("INVALID_PROTOBUF\nlong trace")

    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=broken))
    with pytest.raises(UserError, match=r"cannot load the nudity detector '.*': INVALID_PROTOBUF; ") as error:
        OfficialDetector(weights[0])
    assert one_line(error)
