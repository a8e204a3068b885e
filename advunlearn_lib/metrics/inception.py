"""Inception's pool3 features with pytorch-fid's weights.

Pictures are prepared as by the benchmark that the paper measured with; through torchmetrics and
torch-fidelity (the extra ``fid``).
Source: boomb0om/text2image-benchmark, ``resizers.py`` ("clean") and ``inceptionV3_feature_extractor.py``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.images import in_parts, to_arrays

SIDE = 299  # pixels that the network takes


class Inception:
    """2048 features of a picture."""

    def __init__(self, device: torch.device, batch: int = 32) -> None:
        try:
            from torchmetrics.image.fid import NoTrainInceptionV3

            network = NoTrainInceptionV3("inception-v3-compat", ["2048"])
        except (ImportError, ModuleNotFoundError) as error:
            raise UserError(
                "FID in Inception features needs the extra 'fid': pip install 'advunlearn_lib[fid]'"
            ) from error
        except (OSError, RuntimeError) as error:
            raise UserError(f"cannot load Inception's weights: {str(error).splitlines()[0][:160]}") from error
        network.Conv2d_1a_3x3.register_forward_pre_hook(rescaled)
        self.network, self.batch = network.to(device).eval(), batch

    @torch.no_grad()
    def features(self, images: Iterable[Tensor]) -> Tensor:
        """[n, 2048] of pictures in [0, 1], each [3, h, w] in a size of its own, taken as they come."""
        device, parts = self.network_device(), in_parts(map(prepared, images), self.batch)
        return torch.cat([self.network(torch.stack(part).to(device)).float().cpu() for part in parts])

    def network_device(self) -> torch.device:
        """Where the network lives."""
        return next(self.network.parameters()).device


def prepared(image: Tensor) -> Tensor:
    """uint8 [3, 299, 299] of a picture [3, h, w] in [0, 1]: 8 bits, its central square, PIL's bicubic."""
    (array,) = to_arrays([image])
    side = min(array.shape[:2])
    top, left = ((length - side) // 2 for length in array.shape[:2])
    square = Image.fromarray(array[top : top + side, left : left + side])
    resized = np.array(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return torch.from_numpy(resized).permute(2, 0, 1)


def rescaled(_: torch.nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """x / 127.5 - 1 of 8-bit x, as in the benchmark, from torch-fidelity's (x - 128) / 128."""
    return ((256 * inputs[0] + 1) / 255,)
