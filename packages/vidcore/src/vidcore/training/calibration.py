"""Temperature scaling: probabilities that are as often right as they say."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcore.heads.base import Head

# Standard deviation of log T before any clip was seen: a dozen clips cannot say that T is 5.
_PRIOR = 0.5
_WIDEST = math.log(20.0)
# Predictions are float32, which has no smaller normal number.
_TINY = torch.finfo(torch.float32).tiny


def can_calibrate(head: Head) -> bool:
    """Whether the head gives probabilities that dividing its last layer changes."""
    return head.output_layer is not None and head.targets.kind in ("class", "multilabel")


def temperature_of(predictions: Tensor, targets: Tensor, kind: str) -> float:
    """The T by which logits are divided so that held-out clips are most probable (Guo et al. 2017, arXiv:1706.04599).

    A normal prior on log T about 0 keeps a handful of clips from saying much.

    Args:
        predictions: (N, C) probabilities of clips that took no part in training.
        targets: (N,) classes, or (N, C) labels.
        kind: of the targets: ``class`` or ``multilabel``.
    """
    from scipy.optimize import minimize_scalar

    logits = _logits(predictions, kind)

    def cost(log_t: float) -> float:
        loss = float(_each(logits / math.exp(log_t), targets, kind).mean())
        return loss + doubt(math.exp(log_t), len(targets))

    found = minimize_scalar(cost, bounds=(-_WIDEST, _WIDEST), method="bounded")
    return math.exp(float(found.x))


def doubt(temperature: float, clips: int) -> float:
    """What the prior adds to the mean loss of ``clips`` clips that ask for a temperature."""
    return math.log(temperature) ** 2 / (2 * _PRIOR**2 * clips)


def calibrated(predictions: Tensor, temperature: float, kind: str) -> Tensor:
    """The probabilities (N, C) where the logits are divided by the temperature."""
    logits = _logits(predictions, kind) / temperature
    return (logits.sigmoid() if kind == "multilabel" else logits.softmax(1)).float()


def negative_log_likelihood(predictions: Tensor, targets: Tensor, kind: str) -> Tensor:
    """(N,) of each clip; the mean over labels where a clip has several."""
    return _each(_logits(predictions, kind), targets, kind)


@torch.no_grad()
def divide_logits(head: Head, temperature: float) -> None:
    """Put the temperature into the last layer, so that it is saved and exported with the weights.

    Raises:
        TypeError: the head has no such layer.
    """
    layer = head.output_layer
    if layer is None:
        raise TypeError(f"head {head.spec.name!r} has no layer that gives its logits")
    layer.weight.div_(temperature)
    if layer.bias is not None:
        layer.bias.div_(temperature)


def _logits(predictions: Tensor, kind: str) -> Tensor:
    chances = predictions.double()
    powers = chances.clamp(min=_TINY).log()
    return powers - (1 - chances).clamp(min=_TINY).log() if kind == "multilabel" else powers


def _each(logits: Tensor, targets: Tensor, kind: str) -> Tensor:
    if kind == "multilabel":
        return F.binary_cross_entropy_with_logits(logits, targets.double(), reduction="none").mean(1)
    return F.cross_entropy(logits, targets, reduction="none")
