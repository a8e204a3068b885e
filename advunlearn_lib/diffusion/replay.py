"""On a GPU, a step of a single sample is recorded once as a CUDA graph and played back.

Launching the thousands of kernels of one small step takes several times as long as they run
(``docs/scaling.md``, measured). Played back they are the same kernels on the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

MOST = 4  # graphs; each holds the memory that its step needs
WARM_UP = 3  # calls before recording, in which libraries choose their kernels
TOLERANCE = 0.05  # of the largest value: two calls in bf16 differ by less, another step by as much as it is
Recorded = tuple[tuple[Tensor, ...], Any, Tensor]
"""The places that inputs are copied to, the graph, and the place where it leaves its result."""


class Replayed:
    """``function`` of tensors, played back where they live on a GPU; elsewhere it is just called.

    It must neither draw random numbers nor look at values on the CPU, and weights that it reads must stay
    where they are. ``static`` arguments are recorded as they are. What cannot be recorded, for want of memory
    say, or gives something else when it is played back, is called from then on, as is what comes after
    ``MOST`` different shapes.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.recorded: dict[Hashable, Recorded] = {}
        self.gave_up = False

    def __call__(self, *inputs: Tensor, **static: Hashable) -> Tensor:
        """What ``function`` gives of them."""
        key = (*((one.shape, one.dtype) for one in inputs), *static.items())
        if key in self.recorded:
            return self.play(key, inputs)
        called = self.function(*inputs, **static)
        if not self.gave_up and len(self.recorded) < MOST and self.can_record(inputs):
            self.keep(key, inputs, static, called)
        return called

    def keep(self, key: Hashable, inputs: tuple[Tensor, ...], static: dict[str, Any], called: Tensor) -> None:
        """Record a call, unless it cannot be or gives something else than when it was ``called``."""
        try:
            self.recorded[key] = self.record(inputs, static)
            same = bool((self.play(key, inputs) - called).abs().max() <= TOLERANCE * called.abs().max())
        except RuntimeError:  # want of memory is one, too
            same = False
        if not same:
            self.give_up()

    def play(self, key: Hashable, inputs: tuple[Tensor, ...]) -> Tensor:
        """The graph's result on ``inputs``."""
        held, graph, result = self.recorded[key]
        with torch.no_grad():
            for own, given in zip(held, inputs, strict=True):
                own.copy_(given)
        graph.replay()
        return result.clone()

    def give_up(self) -> None:
        """Free what was recorded, and record no more."""
        self.gave_up = True
        self.recorded.clear()

    @staticmethod
    def can_record(inputs: tuple[Tensor, ...]) -> bool:
        """Are there CUDA graphs where ``inputs`` live?"""
        return all(one.is_cuda for one in inputs)

    def record(self, inputs: tuple[Tensor, ...], static: dict[str, Any]) -> Recorded:
        """A graph of one call."""
        held = tuple(one.detach().clone() for one in inputs)
        with torch.cuda.device(held[0].device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    self.function(*held, **static)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                result = self.function(*held, **static)
        return held, graph, result
