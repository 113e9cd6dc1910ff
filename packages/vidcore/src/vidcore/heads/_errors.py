"""Errors of predicted numbers as metrics. Importing it imports torchmetrics, which takes seconds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics.regression import MeanSquaredError, R2Score


class RootMeanSquaredError(MeanSquaredError):
    """Root of the mean squared error over rows and numbers.

    Args:
        index: place along the first axis of a target to look at; by default everywhere.
        scale: what errors are divided by, of the shape of a target.
    """

    scale: Tensor | None

    def __init__(self, index: int | None = None, scale: Tensor | None = None) -> None:
        super().__init__(squared=False)
        self.index = index
        self.register_buffer("scale", scale, persistent=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Take in predictions and targets (B, ...) of the same shape."""
        if self.scale is not None:
            preds, target = preds / self.scale, target / self.scale
        if self.index is not None:
            preds, target = preds[:, self.index], target[:, self.index]
        super().update(preds.contiguous(), target.contiguous())


class R2(R2Score):
    """Coefficient of determination, averaged over columns; NaN where fewer than two rows were seen."""

    def compute(self) -> Any:
        """The score."""
        return super().compute() if int(self.total) > 1 else torch.tensor(float("nan"))
