"""What the tests of erasure methods share: a task that suits each, pictures made in no time.

Its lists all differ, in texts and in lengths, so that a method that takes one for another is seen.
"""

from weakref import WeakKeyDictionary

import torch

from advunlearn_lib.erasure.task import Task

CHURCH, GUITAR = "a photo of a church", "a photo of a guitar"
CONCEPT = ["church", CHURCH]
FORGET = ["an image of a church", "a church at night", "two churches and a church by the sea"]
INSTEAD = [GUITAR, "a guitar at night", "a drum"]
REMAIN = ["a photo of a horse", "a castle", "a photo of an owl", "a chair", "a sunflower"]
RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a bus", "a photo of a bed"]
ANCHORS = ["a dog", "a bus", "a bed at night", "a cat", "a horse", "a pizza"]
PICTURE_OPTIONS = {"per_prompt": 4, "sampling_steps": 4, "guidance_scale": 5.0, "batch": 8}
RELABELLING = PICTURE_OPTIONS | {"remain_per_prompt": 2}
MADE = WeakKeyDictionary()  # model -> its sampling paths and pictures, by their recipes


def task_on(model, *lists, **more):
    """A task that takes what another on the same model has drawn already."""
    return Task(model, *lists, **{"made": MADE.setdefault(model, {})} | more)


def church(model, **changes):
    """A church is to become a guitar; all else remains."""
    usual = {
        "concept": CONCEPT, "names": ["church"], "retain_set": RETAIN, "forget_prompts": FORGET,
        "surrogate": INSTEAD, "remain_prompts": REMAIN,
    }  # fmt: skip
    return task_on(model, **usual | changes)


def generator(seed=5):
    return torch.Generator().manual_seed(seed)


def flat(tensors):
    """All of their elements in one row."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])
