"""A metric of one of several heads. A file of its own, because importing torchmetrics costs seconds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.wrappers.abstract import WrapperMetric

from vidcore.heads.several import Share


class ShareMetric(WrapperMetric):
    """``metric`` of the clips that have a target for one head; NaN where there is none."""

    def __init__(self, metric: Metric, share: Share) -> None:
        super().__init__()
        self.metric = metric
        self._share = share
        self._seen = False

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Predictions (N, P) and targets (N, W) of all heads."""
        known = self._share.known(targets)
        if known.any():
            self._seen = True
            self.metric.update(self._share.said(predictions[known]), self._share.true(targets[known]))

    def compute(self) -> Any:
        """The metric's value."""
        # Who counts the clips of several processes is for the caller to say.
        self.metric.distributed_available_fn = self.distributed_available_fn
        return self.metric.compute() if self._seen else torch.tensor(torch.nan)

    def forward(self, predictions: Tensor, targets: Tensor) -> Any:
        """The metric of this batch, added to what came before."""
        known = self._share.known(targets)
        if not known.any():
            return torch.tensor(torch.nan)
        self._seen = True
        return self.metric(self._share.said(predictions[known]), self._share.true(targets[known]))

    def reset(self) -> None:
        """Forget everything."""
        self.metric.reset()
        self._seen = False
        super().reset()
