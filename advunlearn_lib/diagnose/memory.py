"""Where training memory goes, tensor by tensor: what a GPU must hold, counted on any machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from advunlearn_lib.erasure.method import Method


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes of all storages behind ``tensors``, each once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


class Ledger:
    """Bytes that the backward pass keeps: now and at most. Weights are not counted among them."""

    def __init__(self) -> None:
        self.alive: dict[int, tuple[int, int]] = {}  # storage -> (bytes, holders)
        self.now = self.most = 0

    def keep(self, tensor: Tensor) -> tuple[Tensor, Any]:
        """A tensor is saved for the backward pass."""
        return tensor, Holder(self, tensor)

    def of(self, method: Method) -> dict[str, float]:
        """GB of each kind of tensor in ``method``'s training."""
        model, frozen = method.model, method.frozen
        parts = {
            id(m): m for net in (model, frozen) for m in (net.unet, net.pipeline.vae, *net.text_encoders())
        }
        trained = list(method.trained.values())
        weights = size(p for part in parts.values() for p in part.parameters())
        moments = 2 * 4 * sum(p.numel() for p in trained)  # Adam's two, in fp32
        sizes = {
            "weights": weights,
            "moments": moments if method.options.iterations else 0,
            "gradients": size(p.grad for p in trained if p.grad is not None),
            "activations": self.most,
        }
        sizes["sum"] = sum(sizes.values())
        return {f"{name}_gb": value / 1e9 for name, value in sizes.items()}


class Holder:
    """Counts a storage while the graph holds it."""

    def __init__(self, ledger: Ledger, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self.ledger, self.key = ledger, storage.data_ptr()
        self.bytes = 0 if isinstance(tensor, torch.nn.Parameter) else storage.nbytes()
        held, holders = ledger.alive.get(self.key, (self.bytes, 0))
        ledger.alive[self.key] = (held, holders + 1)
        if not holders:
            ledger.now += self.bytes
            ledger.most = max(ledger.most, ledger.now)

    def __del__(self) -> None:
        """The graph let go."""
        held, holders = self.ledger.alive.pop(self.key)
        if holders > 1:
            self.ledger.alive[self.key] = (held, holders - 1)
        else:
            self.ledger.now -= held


@contextmanager
def account() -> Iterator[Ledger]:
    """Count what is saved for backward passes within."""
    ledger = Ledger()
    with torch.autograd.graph.saved_tensors_hooks(ledger.keep, lambda kept: kept[0]):
        yield ledger
