"""Where memory runs out: the same work with fewer samples at once in the UNet.

The numbers are the same, in more time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from advunlearn_lib.base.errors import UserError

Result = TypeVar("Result")


class Batched(Protocol):
    """As much of a ``LatentDiffusion`` as is looked at here."""

    micro_batch: int | None

    @property
    def device(self) -> torch.device:
        """Where its networks live."""


def in_smaller_batches(work: Callable[[], Result], model: Batched, samples: int) -> Result:
    """``work()``; each time memory runs out it is called again with ``model.micro_batch`` half as large.

    ``samples`` is what work without micro-batches takes at once. Raises :class:`UserError` where not even one
    fits.
    """
    if model.device.type != "cpu":
        clear_device_cache(garbage_collection=True)  # of what nobody uses any more; it takes long
    while True:
        try:
            return work()
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
            smaller = min(model.micro_batch or 2 * samples, 2 * samples) // 2
            if not smaller:
                needed = "a larger GPU, precision=bf16 or, for pictures, picture_precision=bf16 is needed"
                raise UserError(f"out of memory even with one sample at a time; {needed}") from error
        model.micro_batch = smaller
        clear_device_cache(garbage_collection=True)  # here, where the error holds nothing any more


@contextmanager
def recomputed_activations(unet: Any) -> Iterator[None]:
    """What ``unet`` does inside keeps no activations: the backward pass computes them again."""
    before = unet.is_gradient_checkpointing
    unet.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if not before:
            unet.disable_gradient_checkpointing()
