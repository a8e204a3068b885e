"""Erasure methods, one a file."""

from advunlearn_lib.erasure.base import Method, Options, Task
from advunlearn_lib.erasure.train import METHODS, Erased, erase, prepare, train

__all__ = ["METHODS", "Erased", "Method", "Options", "Task", "erase", "prepare", "train"]
