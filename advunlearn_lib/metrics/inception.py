"""Inception's pool3 features with pytorch-fid's weights,
through torchmetrics and torch-fidelity (the extra ``fid``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.images import to_uint8


class Inception:
    """2048 features of a picture; the network resizes to 299 x 299 itself.

    ``weights``: a local copy of its file.
    """

    def __init__(self, device: torch.device, weights: Path | None = None, batch: int = 32) -> None:
        try:
            from torchmetrics.image.fid import NoTrainInceptionV3

            network = NoTrainInceptionV3(
                "inception-v3-compat", ["2048"], None if weights is None else str(weights)
            )
        except (ImportError, ModuleNotFoundError) as error:
            raise UserError(
                "FID in Inception features needs the extra 'fid': pip install 'advunlearn_lib[fid]'"
            ) from error
        except (OSError, RuntimeError) as error:
            raise UserError(f"cannot load Inception's weights: {str(error).splitlines()[0][:160]}") from error
        self.network, self.batch = network.to(device).eval(), batch

    @torch.no_grad()
    def features(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """[n, 2048] of pictures in [0, 1], [n, 3, h, w] or each [3, h, w] in a size of its own."""
        parts = []
        for _, alike in groupby(images, key=lambda image: image.shape):
            for part in torch.stack(list(alike)).split(self.batch):
                parts.append(self.network(to_uint8(part).to(self.network_device())).float().cpu())
        return torch.cat(parts)

    def network_device(self) -> torch.device:
        """Where the network lives."""
        return next(self.network.parameters()).device
