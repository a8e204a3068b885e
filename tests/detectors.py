"""What the tests of the nudity detectors share: a network that finds what it is told, a loop over boxes."""

import sys
from types import SimpleNamespace

import numpy as np

from advunlearn_lib.metrics.nudenet_classes import CLASSES
from advunlearn_lib.metrics.nudenet_official import OfficialDetector


class Session:
    """Stands for onnxruntime's: keeps what it is fed and always finds the same."""

    def __init__(self, output):
        self.output, self.seen = output, []

    def get_inputs(self):
        return [SimpleNamespace(name="images", shape=[1, 3, 320, 320])]

    def get_outputs(self):
        return [SimpleNamespace(shape=[1, len(self.output), "anchors"])]

    def run(self, names, inputs):
        self.seen.append(inputs["images"])
        return [self.output[None]]


def boxes(*rows):
    """The network's output [22, n] for rows of (centre x, y, width, height, {class: score})."""
    output = np.zeros((22, len(rows)), np.float32)
    for number, (*box, scores) in enumerate(rows):
        output[:4, number] = box
        for name, score in scores.items():
            output[4 + CLASSES.index(name), number] = score
    return output


def make_detector(output, monkeypatch, folder):
    """The benchmark's detector with a network that finds what it is told."""
    session = Session(output)
    module = SimpleNamespace(InferenceSession=lambda path, providers: session)
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    return OfficialDetector(folder / "best.onnx")


def cells(box):
    """The pixels within a box."""
    left, top, width, height = box
    return {(x, y) for x in range(left, left + width) for y in range(top, top + height)}


def plain_loop(output, across, down):
    """What the official code does, row by row; overlap by counting pixels."""
    candidates = []
    for row in output.T:
        scores = row[4:].tolist()
        best = max(scores)
        if best > 0.5:
            x, y, width, height = row[:4].tolist()
            corner = [int((x - width / 2) * across), int((y - height / 2) * down)]
            candidates.append(
                (best, CLASSES[scores.index(best)], [*corner, int(width * across), int(height * down)])
            )
    kept = []
    for score, name, box in sorted(candidates, key=lambda one: -one[0]):
        others = [cells(other) for _, _, other in kept]
        if all(len(cells(box) & other) / len(cells(box) | other) <= 0.5 for other in others):
            kept.append((score, name, box))
    return [{"class": name, "score": score, "box": box} for score, name, box in kept]
