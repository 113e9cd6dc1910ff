"""Classification with a linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidcore.catalog import HeadSpec
from vidcore.errors import ConfigError
from vidcore.features import ReadoutInfo
from vidcore.heads._layers import check_labels, class_metrics, refuse_steps
from vidcore.heads._multilabel import multilabel_metrics, smoothed
from vidcore.heads.base import Head, TargetInfo
from vidcore.heads.config import ClassificationConfig

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class Classification(Head):
    """One linear layer to class logits; softmax and cross-entropy, or sigmoids for several labels a clip.

    Input   (B, K); a readout that gives (B, T, K) is refused
    Output  ``logits`` (B, C)
    Targets (B,) int64 class indices, or (B, C) in {0, 1} with ``multilabel``; of mixed clips (B, C) shares in [0, 1]

    Raises:
        WiringError: the readout answers per step, the data has fewer than two classes, or its targets
            do not fit ``multilabel``.
        ConfigError: the number of class weights is not the number of classes.
    """

    config: ClassificationConfig
    weight: Tensor | None

    def __init__(
        self, spec: HeadSpec, config: ClassificationConfig, features: ReadoutInfo, targets: TargetInfo
    ) -> None:
        super().__init__(replace(spec, targets="multilabel") if config.multilabel else spec, config, features, targets)
        refuse_steps(features, spec.name)
        check_labels(targets, spec.name)
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(features.dim, len(targets.classes))
        self.register_buffer("weight", self._class_weights(), persistent=False)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(B, K) -> {"logits": (B, C)}."""
        return {"logits": self.linear(self.dropout(features))}

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Cross-entropy, or binary cross-entropy with ``multilabel``; mean over the batch."""
        logits = outputs["logits"].float()
        smoothing = self.config.label_smoothing
        if self.config.multilabel:
            return F.binary_cross_entropy_with_logits(logits, smoothed(targets, smoothing), weight=self.weight)
        return F.cross_entropy(logits, targets, weight=self.weight, label_smoothing=smoothing)

    def losses_of_many(
        self, tensors: Mapping[str, Tensor], features: Tensor, targets: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]] | None:
        """One product and one cross-entropy for all; not with weights of classes, ``multilabel`` or soft targets."""
        if targets.dim() != 2 or targets.is_floating_point() or tensors.keys() != {"linear.weight", "linear.bias"}:
            return None
        weight, bias = tensors["linear.weight"], tensors["linear.bias"]
        units, readers, classes = bias.shape
        if self.training and self.dropout.p:
            # Each its own noise, so each its own features.
            features = self.dropout(features.repeat_interleave(readers, 0))
            targets = targets.repeat_interleave(readers, 0)
            weight, bias = weight.flatten(0, 1)[:, None], bias.flatten(0, 1)[:, None]
        # Those that read the same batch are one wide layer.
        logits = torch.baddbmm(bias.flatten(1)[:, None], features, weight.flatten(1, 2).mT).float()
        logits = logits.unflatten(2, (-1, classes))
        each = targets[:, :, None].expand(logits.shape[:3])
        smoothing = self.config.label_smoothing
        losses = F.cross_entropy(logits.flatten(0, 2), each.flatten(), reduction="none", label_smoothing=smoothing)
        means = losses.view(each.shape).mean(1).view(units, readers)
        return means, {"logits": logits.transpose(1, 2).reshape(units, readers, -1, classes)}

    def loss_weight(self, targets: Tensor) -> float | Tensor:
        """The sum of the class weights of the clips, where classes have weights."""
        # Binary cross-entropy and soft targets are averaged over clips, whatever the weights.
        if self.weight is None or self.config.multilabel or targets.is_floating_point():
            return super().loss_weight(targets)
        return self.weight[targets].sum()

    @property
    def output_layer(self) -> nn.Linear:
        """The logits' layer."""
        return self.linear

    def metrics(self) -> MetricCollection:
        """Accuracy and macro F1; mean average precision and macro F1 with ``multilabel``."""
        classes = len(self.targets.classes)
        if self.config.multilabel:
            return multilabel_metrics(classes)
        return class_metrics(classes)

    @property
    def score(self) -> str:
        """Accuracy, or mean average precision with ``multilabel``."""
        return "mean_average_precision" if self.config.multilabel else "accuracy"

    def predictions(self, outputs: dict[str, Tensor]) -> Tensor:
        """Probabilities (B, C)."""
        logits = outputs["logits"].float()
        return logits.sigmoid() if self.config.multilabel else logits.softmax(-1)

    def _class_weights(self) -> Tensor | None:
        asked, classes = self.config.class_weights, len(self.targets.classes)
        if asked == "none":
            return None
        if asked == "balanced":
            counts = torch.tensor(self.targets.counts, dtype=torch.float32)
            return counts.sum() / (classes * counts.clamp(min=1))
        if len(asked) != classes:
            raise ConfigError(
                f"head {self.spec.name!r}: class_weights has {len(asked)} numbers; "
                f"the data has {classes} classes: {', '.join(self.targets.classes)}"
            )
        return torch.tensor(asked)
