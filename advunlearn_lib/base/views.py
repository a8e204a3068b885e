"""What a notebook shows of the library's own objects: small HTML, everything that users named escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from advunlearn_lib.base.images import to_arrays

SHOWN = 48  # pictures or lines, of which a notebook shows no more


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """An HTML table."""
    lines = [[f"<th>{escape(name)}</th>" for name in head]]
    lines += [[f"<td style='text-align:left'>{escape(str(value))}</td>" for value in row] for row in rows]
    return f"<table>{''.join(f'<tr>{chr(10).join(cells)}</tr>' for cells in lines)}</table>"


def picture(image: Tensor) -> str:
    """An ``<img>`` of a picture [3, h, w] in [0, 1], its PNG inside."""
    png = io.BytesIO()
    Image.fromarray(to_arrays([image])[0]).save(png, "PNG")
    data = base64.b64encode(png.getvalue()).decode()
    return f"<img alt='a picture' style='margin:2px;max-width:256px' src='data:image/png;base64,{data}'>"


class Pictures(Tensor):
    """Pictures [n, 3, h, w] in [0, 1]: a tensor that a notebook shows; what is computed of it is plain."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def of(cls, images: Tensor) -> Pictures:
        """``images``, sharing their memory."""
        return images.as_subclass(cls)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """As a plain tensor."""
        return self.as_subclass(Tensor).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Any) -> Tensor:
        """A plain tensor."""
        return self.clone()

    def _repr_html_(self) -> str:
        """The pictures side by side."""
        images = self.as_subclass(Tensor).clamp(0, 1)
        more = f"<p>and {len(images) - SHOWN} more</p>" if len(images) > SHOWN else ""
        return "".join(map(picture, images[:SHOWN])) + more
