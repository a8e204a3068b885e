"""Where memory runs out: the same work with fewer samples at once in the UNet.

The numbers are the same, in more time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from accelerate.utils import find_executable_batch_size
from diffusers import UNet2DConditionModel

from advunlearn_lib.base.errors import UserError

if TYPE_CHECKING:
    from advunlearn_lib.diffusion.model import LatentDiffusion

Result = TypeVar("Result")
ALL = 1 << 20  # no micro-batches


def in_memory(work: Callable[[], Result], model: LatentDiffusion, samples: int) -> Result:
    """``work()``; each time memory runs out it is called again with ``model.micro_batch`` half as large.

    ``samples`` is what work without micro-batches takes at
    once. Raises :class:`UserError` where not even one fits.
    """

    def attempt(size: int) -> Result:
        model.micro_batch = None if size == ALL else size
        return work()

    def smaller() -> int:
        return min(model.micro_batch or 2 * samples, 2 * samples) // 2

    try:
        return find_executable_batch_size(
            attempt, starting_batch_size=model.micro_batch or ALL, reduce_batch_size_fn=smaller
        )()
    except RuntimeError as error:
        if "No executable batch size found" not in str(error):
            raise
        raise UserError(
            "out of memory even with one sample at a time; a larger GPU or precision=bf16 is needed"
        ) from error


@contextmanager
def recomputed_activations(unet: UNet2DConditionModel) -> Iterator[None]:
    """What ``unet`` does inside keeps no activations: the backward pass computes them again."""
    before = unet.is_gradient_checkpointing
    unet.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if not before:
            unet.disable_gradient_checkpointing()
