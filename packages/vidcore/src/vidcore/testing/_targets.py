"""Targets that heads are built for."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from vidcore.heads.base import TargetInfo

TargetKind = Literal["class", "multilabel", "value", "position", "count"]
TARGET_KINDS: tuple[TargetKind, ...] = ("class", "multilabel", "value", "position", "count")


def target_info(kind: TargetKind) -> TargetInfo:
    """Four classes, unequally frequent, where the kind has classes; three values, or four positions in a plane."""
    match kind:
        case "class" | "multilabel":
            return TargetInfo(kind, ("kick", "push", "hug", "point"), (40, 30, 20, 10), 100)
        case "value":
            # Of different units, as columns of a table are.
            return _numbers(kind, ("height", "weight", "age"), (3,), (1.7, 70.0, 40.0), (0.1, 10.0, 20.0))
        case "position":
            mean = (0.5, 0.5, 0.6, 0.4, 0.7, 0.3, 0.8, 0.2)
            return _numbers(kind, ("1", "2", "3", "4"), (4, 2), mean, (0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4))
        case "count":
            return TargetInfo(kind)


def _numbers(
    kind: Literal["value", "position"],
    names: tuple[str, ...],
    shape: tuple[int, ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> TargetInfo:
    return TargetInfo(kind, rows=100, shape=shape, names=names, mean=mean, std=std)


def numbers(targets: TargetInfo, rows: int) -> Tensor:
    """Float targets (rows, *shape) that have the mean and deviation of ``targets``, where it has any."""
    drawn = torch.randn(rows, *targets.shape, generator=torch.Generator().manual_seed(5))
    size = math.prod(targets.shape)
    mean, std = (
        torch.tensor(stated or (default,) * size).reshape(targets.shape)
        for stated, default in ((targets.mean, 0.0), (targets.std, 1.0))
    )
    return drawn * std + mean
