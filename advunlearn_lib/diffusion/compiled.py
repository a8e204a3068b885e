"""A UNet compiled by torch, for pictures and attacks: small operations become one kernel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.base.errors import UserError


@contextmanager
def compiled_unet(pipeline: Any, *batch: Tensor) -> Iterator[None]:
    """Within it ``pipeline``'s UNet is a compiled one; torch compiles it when it is first called.

    ``batch`` is what it will be called with: other calls may have other numbers of rows. Torch is told, or
    else it compiles for the first number alone, and then anew for any. Source: docs/scaling.md, where it was
    measured. Raises :class:`UserError` where torch cannot compile: it needs a C++ compiler, on a GPU Triton.
    """
    from torch._dynamo import maybe_mark_dynamic  # seconds to import
    from torch._dynamo.exc import TorchDynamoException

    for one in batch:
        maybe_mark_dynamic(one, 0)
    plain = pipeline.unet
    pipeline.unet = torch.compile(plain)
    try:
        yield
    except TorchDynamoException as error:
        reason = " ".join(str(error).split("\n\n")[0].split())
        raise UserError(f"the UNet cannot be compiled here, use compiled=false: {reason}") from error
    finally:
        pipeline.unet = plain
