"""Numbers of a clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcore.catalog import HeadSpec
from vidcore.features import ReadoutInfo
from vidcore.heads._layers import check_shape, layers, refuse_steps
from vidcore.heads.base import Head, TargetInfo
from vidcore.heads.config import RegressionConfig

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": F.mse_loss, "huber": F.smooth_l1_loss, "l1": F.l1_loss}


class Regression(Head):
    """A linear layer, or a few, to the numbers of some columns.

    Inside, columns are standardised by the mean and deviation of the training rows, so that no unit weighs more
    than another; predictions are in the columns' own units.

    Input   (B, K); a readout that gives (B, T, K) is refused
    Output  ``values`` (B, columns)
    Targets (B, columns) float

    Raises:
        WiringError: the readout answers per step, or the targets are not (columns,).
    """

    config: RegressionConfig
    mean: Tensor
    std: Tensor

    def __init__(self, spec: HeadSpec, config: RegressionConfig, features: ReadoutInfo, targets: TargetInfo) -> None:
        super().__init__(spec, config, features, targets)
        refuse_steps(features, spec.name)
        check_shape(targets, ["columns"], spec.name)
        columns = targets.shape[0]
        self.network = layers(features.dim, config.hidden, columns, config.dropout)
        # Kept with the weights: without them these mean nothing.
        self.register_buffer("mean", torch.tensor(targets.mean or (0.0,) * columns, dtype=torch.float32))
        # A column that is constant in training has no scale of its own.
        scale = [deviation or 1.0 for deviation in targets.std or (1.0,) * columns]
        self.register_buffer("std", torch.tensor(scale, dtype=torch.float32))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(B, K) -> {"values": (B, columns)}."""
        return {"values": self.network(features).float() * self.std + self.mean}

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """The loss of the options in standard deviations, mean over clips and columns."""
        said, true = ((part.float() - self.mean) / self.std for part in (outputs["values"], targets))
        return _LOSSES[self.config.loss](said, true)

    @property
    def output_layer(self) -> nn.Linear | None:
        """The last layer; not with ``l1``, whose kinks have no gradient to converge by."""
        last = self.network[-1]
        return last if isinstance(last, nn.Linear) and self.config.loss != "l1" else None

    def metrics(self) -> MetricCollection:
        """``nrmse``, ``r2``, and the RMSE of every column in its own unit: ``rmse``, or ``rmse_<column>`` of several.

        nrmse is the root of the mean squared error in standard deviations of the training rows; always answering
        their mean gives about 1, and r2 about 0.
        """
        from torchmetrics import MetricCollection

        from vidcore.heads._errors import R2, RootMeanSquaredError

        columns = range(self.targets.shape[0])
        names = self.targets.names or tuple(str(column) for column in columns)
        several = (
            {f"rmse_{names[column]}": RootMeanSquaredError(column) for column in columns}
            if len(columns) > 1
            else {"rmse": RootMeanSquaredError()}
        )
        # No shared states: two columns whose first errors happen to agree are two columns.
        return MetricCollection(
            {"nrmse": RootMeanSquaredError(scale=self.std.cpu()), "r2": R2(), **several}, compute_groups=False
        )

    @property
    def score(self) -> str:
        """The error in standard deviations; lower is better."""
        return "nrmse"

    def predictions(self, outputs: dict[str, Tensor]) -> Tensor:
        """Values (B, columns) in the columns' own units."""
        return outputs["values"]
