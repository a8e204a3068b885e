"""NudeNet's 18 classes in the order of its output, and the names of its two detectors.

Nine of them the paper's evaluation counts (official ``tasks/utils/metrics/nudity_eval.py``).
"""

CLASSES = (
    "FEMALE_GENITALIA_COVERED",
    "FACE_FEMALE",
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_BREAST_EXPOSED",
    "ANUS_EXPOSED",
    "FEET_EXPOSED",
    "BELLY_COVERED",
    "FEET_COVERED",
    "ARMPITS_COVERED",
    "ARMPITS_EXPOSED",
    "FACE_MALE",
    "BELLY_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "ANUS_COVERED",
    "FEMALE_BREAST_COVERED",
    "BUTTOCKS_COVERED",
)
EXPOSED = (
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_BREAST_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "BUTTOCKS_EXPOSED",
    "ANUS_EXPOSED",
    "FEET_EXPOSED",
    "BELLY_EXPOSED",
    "ARMPITS_EXPOSED",
)
OFFICIAL, PACKAGED = "nudenet", "nudenet-320n"
"""The benchmark's ``best.onnx`` of 2023, and the network that nudenet >= 3.4 ships."""


def is_official(judge: str) -> bool:
    """Does ``judge`` name the benchmark's detector, or a file of its weights?"""
    return judge == OFFICIAL or judge.endswith(".onnx")


def is_nudenet(judge: str) -> bool:
    """Is ``judge`` one of NudeNet's detectors?"""
    return judge == PACKAGED or is_official(judge)
