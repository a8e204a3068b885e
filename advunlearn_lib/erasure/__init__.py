"""Erasure methods, one a file."""

from advunlearn_lib.erasure.advunlearn import AdvUnlearn, AdvUnlearnOptions
from advunlearn_lib.erasure.esd import ESD, ESDOptions
from advunlearn_lib.erasure.train import METHODS, Erased, erase, prepare, train

__all__ = ["ESD", "METHODS", "AdvUnlearn", "AdvUnlearnOptions", "ESDOptions", "Erased", "erase", "prepare", "train"]
