"""What heads share: the layers before their outputs, and what they refuse."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from vidcore.errors import WiringError
from vidcore.features import ReadoutInfo
from vidcore.heads.base import TargetInfo

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


def layers(width: int, hidden: Sequence[int], outputs: int, dropout: float) -> nn.Sequential:
    """Linear layers from ``width`` over ``hidden`` to ``outputs``, GELU between them, dropout before each."""
    widths = [width, *hidden, outputs]
    parts: list[nn.Module] = []
    for place, (before, after) in enumerate(itertools.pairwise(widths)):
        parts += [nn.GELU()] if place else []
        parts += [nn.Dropout(dropout), nn.Linear(before, after)]
    return nn.Sequential(*parts)


def class_metrics(classes: int) -> MetricCollection:
    """Accuracy and macro F1 of class probabilities (N, C) against indices (N,)."""
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

    return MetricCollection(
        {
            # Not checked anew: what heads answer is what these take, and looking takes as long as counting.
            "accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
            "macro_f1": MulticlassF1Score(classes, average="macro", validate_args=False),
        }
    )


def refuse_steps(features: ReadoutInfo, head: str) -> None:
    """Refuse a readout that answers per step.

    Raises:
        WiringError: see above.
    """
    if features.per_step:
        raise WiringError(f"head {head!r} reads one vector per clip; the readout gives one per step")


def check_labels(targets: TargetInfo, head: str) -> None:
    """Refuse data with fewer than two classes.

    Raises:
        WiringError: see above.
    """
    if len(targets.classes) < 2:
        raise WiringError(f"head {head!r} needs at least two classes; the data has {list(targets.classes)}")


def check_shape(targets: TargetInfo, axes: Sequence[str], head: str) -> None:
    """Refuse targets that have not one axis for each of ``axes``.

    Raises:
        WiringError: see above.
    """
    if len(targets.shape) != len(axes) or 0 in targets.shape:
        raise WiringError(
            f"head {head!r} predicts targets of shape ({', '.join(axes)}); the data's are of shape {targets.shape}"
        )
