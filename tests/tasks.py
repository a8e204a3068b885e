"""What the tests of erasure methods share: a task that suits each, pictures made in no time."""

import torch

from advunlearn_lib.erasure.task import Task

CHURCH, GUITAR = "a photo of a church", "a photo of a guitar"
RETAIN = ["a photo of a dog", "a photo of a cat", "a photo of a bus", "a photo of a bed"]
PICTURES = {"per_prompt": 6, "sampling_steps": 4, "guidance_scale": 5.0, "batch": 8}
RELABELLING = PICTURES | {"remain_per_prompt": 2}


def church(model, **changes):
    """A church is to become a guitar; all else remains."""
    usual = {"retain_set": RETAIN, "surrogate": [GUITAR], "names": ["church"], "anchors": ["a dog", "a bus"]}
    return Task(model, [CHURCH], **usual | changes)


def generator(seed=5):
    return torch.Generator().manual_seed(seed)


def flat(tensors):
    """All of their elements in one row."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])
