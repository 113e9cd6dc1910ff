"""Positions after the clip."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vidcore.catalog import HeadSpec
from vidcore.features import ReadoutInfo
from vidcore.heads._layers import check_shape, layers, refuse_steps
from vidcore.heads.base import Head, TargetInfo
from vidcore.heads.config import ForecastConfig

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class Forecast(Head):
    """A linear layer, or a few, to the positions at some steps after the end of the video, all at once.

    With ``origin`` (the default) positions are counted from the one last seen. The error is the same, staying there
    is the answer zero, and features that know motion but not place can do it.

    Input   (B, K); a readout that gives (B, T, K) is refused
    Output  ``positions`` (B, horizons, coordinates), in the unit of the manifest
    Targets (B, horizons, coordinates) float

    Raises:
        WiringError: the readout answers per step, or the targets are not (horizons, coordinates).
    """

    config: ForecastConfig
    mean: Tensor
    scale: Tensor

    def __init__(self, spec: HeadSpec, config: ForecastConfig, features: ReadoutInfo, targets: TargetInfo) -> None:
        super().__init__(spec, config, features, targets)
        refuse_steps(features, spec.name)
        check_shape(targets, ["horizons", "coordinates"], spec.name)
        count = math.prod(targets.shape)
        self.network = layers(features.dim, config.hidden, count, config.dropout)
        # Kept with the weights: without them these mean nothing.
        self.register_buffer("mean", torch.tensor(targets.mean or (0.0,) * count).reshape(targets.shape))
        # One scale for all, so that the loss is the mean squared error but for a factor.
        variance = sum(deviation**2 for deviation in targets.std) / count
        self.register_buffer("scale", torch.tensor(math.sqrt(variance) or 1.0))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(B, K) -> {"positions": (B, horizons, coordinates)}."""
        out = self.network(features).float().reshape(-1, *self.targets.shape)
        return {"positions": out * self.scale + self.mean}

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Mean squared error over clips, horizons and coordinates, in units of the training rows' variance."""
        error = (outputs["positions"].float() - targets.float()) / self.scale
        return error.square().mean()

    @property
    def output_layer(self) -> nn.Linear | None:
        """The last layer."""
        last = self.network[-1]
        return last if isinstance(last, nn.Linear) else None

    def metrics(self) -> MetricCollection:
        """``mse`` over all, and ``rmse_<horizon>``: the root of the mean squared error at every step ahead.

        Both average over coordinates as well, so ``mse`` is the mean of the squared ``rmse_<horizon>``.
        """
        from torchmetrics import MetricCollection
        from torchmetrics.regression import MeanSquaredError

        from vidcore.heads._errors import RootMeanSquaredError

        names = self.targets.names or tuple(str(horizon + 1) for horizon in range(self.targets.shape[0]))
        ahead = {f"rmse_{name}": RootMeanSquaredError(horizon) for horizon, name in enumerate(names)}
        # No shared states: two horizons whose first errors happen to agree are two horizons.
        return MetricCollection({"mse": MeanSquaredError(), **ahead}, compute_groups=False)

    @property
    def score(self) -> str:
        """The mean squared error; lower is better."""
        return "mse"

    def predictions(self, outputs: dict[str, Tensor]) -> Tensor:
        """Positions (B, horizons, coordinates), counted from ``origin`` where there is one."""
        return outputs["positions"]
