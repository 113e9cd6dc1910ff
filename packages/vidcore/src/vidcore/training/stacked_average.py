"""Moving averages of the weights of many models at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vidcore.training.batched import ModelStack


class StackedAverage:
    """The rule of ``averaging.WeightAverage`` for every row of a stack, running statistics included.

        theta' <- d theta' + (1 - d) theta,    d = min(decay, (1 + t) / (10 + t)) after t updates of the row

    Args:
        stack: the models.
        decay: upper bound of d.
    """

    def __init__(self, stack: ModelStack, decay: float) -> None:
        self._decay = decay
        self._live = [stack.flat, *(t for name, t in stack.fixed.items() if name in stack.averaged)]
        self._mean = [tensor.detach().clone() for tensor in self._live]

    @torch.no_grad()
    def update(self, updates: Tensor, rows: Tensor | None) -> None:
        """After a step.

        Args:
            updates: (K,) updates of each member, this one included.
            rows: (A,) members that took the step; ``None``: all.
        """
        weight = 1 - ((1 + updates) / (10 + updates)).clamp(max=self._decay)
        for live, mean in zip(self._live, self._mean, strict=True):
            shape = (-1, *[1] * (live.ndim - 1))
            if rows is None:
                mean.lerp_(live, weight.to(live.dtype).reshape(shape))
            else:
                mean[rows] = mean[rows].lerp(live[rows], weight[rows].to(live.dtype).reshape(shape))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the members have their averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for live, mean in zip(self._live, self._mean, strict=True):
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)
