"""Several labels a clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcore.catalog import HeadSpec
from vidcore.errors import ConfigError
from vidcore.features import ReadoutInfo
from vidcore.heads._layers import check_labels, refuse_steps
from vidcore.heads.base import Head, TargetInfo
from vidcore.heads.config import MultilabelConfig

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class Multilabel(Head):
    """One linear layer, and for every label a sigmoid and binary cross-entropy of its own.

    Input   (B, K); a readout that gives (B, T, K) is refused
    Output  ``logits`` (B, C)
    Targets (B, C) in {0, 1}, or shares in [0, 1] of mixed clips

    Raises:
        WiringError: the readout answers per step, or the data has fewer than two labels or one label a clip.
        ConfigError: balanced weights where the number of training rows is not known.
    """

    config: MultilabelConfig
    weight: Tensor | None

    def __init__(self, spec: HeadSpec, config: MultilabelConfig, features: ReadoutInfo, targets: TargetInfo) -> None:
        super().__init__(spec, config, features, targets)
        refuse_steps(features, spec.name)
        check_labels(targets, spec.name)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(features.dim, len(targets.classes))
        self.register_buffer("weight", self._positive_weights(), persistent=False)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(B, K) -> {"logits": (B, C)}."""
        return {"logits": self.linear(self.dropout(features))}

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Binary cross-entropy, mean over clips and labels."""
        soft = smoothed(targets, self.config.label_smoothing)
        return F.binary_cross_entropy_with_logits(outputs["logits"].float(), soft, pos_weight=self.weight)

    @property
    def output_layer(self) -> nn.Linear:
        """The logits' layer."""
        return self.linear

    def metrics(self) -> MetricCollection:
        """Mean average precision and macro F1 at 0.5."""
        return multilabel_metrics(len(self.targets.classes))

    @property
    def score(self) -> str:
        """Mean average precision."""
        return "mean_average_precision"

    def predictions(self, outputs: dict[str, Tensor]) -> Tensor:
        """Probabilities (B, C), each label by itself."""
        return outputs["logits"].float().sigmoid()

    def _positive_weights(self) -> Tensor | None:
        if self.config.positive_weights == "none":
            return None
        if not self.targets.rows or not self.targets.counts:
            raise ConfigError(
                f"head {self.spec.name!r}: positive_weights=balanced needs the number of training rows and of each "
                "label's among them; set positive_weights: none"
            )
        positive = torch.tensor(self.targets.counts, dtype=torch.float32)
        # A label that every row has, or none, has nothing to be balanced.
        weight = (self.targets.rows - positive) / positive
        return torch.where((positive > 0) & (positive < self.targets.rows), weight, torch.ones_like(weight))


def smoothed(targets: Tensor, smoothing: float) -> Tensor:
    """Targets in [0, 1] as float, moved towards one half."""
    return targets.float() * (1 - smoothing) + 0.5 * smoothing


def multilabel_metrics(labels: int) -> MetricCollection:
    """Mean average precision, and macro F1 at 0.5."""
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MultilabelAveragePrecision, MultilabelF1Score

    return MetricCollection(
        {
            "mean_average_precision": MultilabelAveragePrecision(labels),
            "macro_f1": MultilabelF1Score(labels, average="macro"),
        }
    )
