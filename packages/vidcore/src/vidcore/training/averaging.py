"""An exponential moving average of the weights, kept beside those that are trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vidcore.model import VideoModel
from vidcore.training.checkpoints import trained_state


class WeightAverage:
    """theta' <- d theta' + (1 - d) theta after every update, over weights and running statistics.

    ``d`` is min(decay, (1 + t) / (10 + t)) after t updates, so that the initial weights are soon forgotten
    (``num_updates`` of TensorFlow's ExponentialMovingAverage). Whole numbers are not averaged.
    """

    def __init__(self, model: VideoModel, decay: float) -> None:
        self.decay = decay
        self._live = {name: _local(tensor) for name, tensor in trained_state(model).items() if _averaged(tensor)}
        self._mean = {name: tensor.clone() for name, tensor in self._live.items()}

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """After the update with this number, counted from 1."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        average: Any = get_ema_multi_avg_fn(decay)
        average(list(self._mean.values()), list(self._live.values()), updates)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def adopt(self) -> None:
        """Take the model's weights as the averages."""
        for name, live in self._live.items():
            self._mean[name].copy_(live)

    @torch.no_grad()
    def _swap(self) -> None:
        for name, live in self._live.items():
            kept = live.clone()
            live.copy_(self._mean[name])
            self._mean[name].copy_(kept)


def _averaged(tensor: Tensor) -> bool:
    return tensor.is_floating_point()


def _local(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor: averages are taken element by element."""
    to_local = getattr(tensor, "to_local", None)
    return to_local() if to_local is not None else tensor
