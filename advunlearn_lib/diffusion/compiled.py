"""A UNet compiled by torch for pictures: small operations become one kernel, the numbers stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from advunlearn_lib.base.errors import UserError


@contextmanager
def compiled_unet(pipeline: Any) -> Iterator[None]:
    """``pipeline``'s UNet is compiled when it is first called, for each kind of batch once.

    Source: docs/scaling.md, where it was measured. Raises :class:`UserError` where torch cannot compile
    (it needs a C++ compiler, on a GPU Triton too).
    """
    from torch._dynamo.exc import TorchDynamoException  # seconds to import

    pipeline.unet = torch.compile(pipeline.unet)
    try:
        yield
    except TorchDynamoException as error:
        reason = " ".join(str(error).split("\n\n")[0].split())
        raise UserError(f"the UNet cannot be compiled here, use compiled=false: {reason}") from error
