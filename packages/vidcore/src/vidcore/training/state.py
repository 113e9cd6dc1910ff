"""Where a training stands: all that is not a tensor."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Row = dict[str, float | int | None]


@dataclass(slots=True)
class TrainingState:
    """Plain numbers that a checkpoint holds besides the tensors."""

    epoch: int = 0
    """Epochs completed, validation included."""
    step: int = 0
    """Steps completed in the epoch that is running."""
    updates: int = 0
    """Optimiser steps in all."""
    loss_sum: float = 0.0
    """Sum over the clips of the running epoch of the loss of their batch."""
    loss_clips: int = 0
    best_score: float | None = None
    best_loss: float | None = None
    best_epoch: int | None = None
    stale: int = 0
    """Epochs since the best one."""
    seconds: float = 0.0
    """Time spent training, over all sittings."""
    history: list[Row] = field(default_factory=list)
    """One row per completed epoch: what ``metrics.csv`` holds."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainingState:
        """Take back what ``as_dict`` gave."""
        return cls(**data)
