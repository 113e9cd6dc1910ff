"""Where a training stands: all that is not a tensor."""

from __future__ import annotations

import math
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
    splits: int = 1
    """Into how many parts each micro-batch is cut, since memory ran out."""
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

    def is_beaten_by(self, loss: float | None) -> bool:
        """Whether this validation loss beats the best one.

        The loss decides, and not the score: an accuracy over a dozen clips has a dozen values, and chance picks
        among them. Without a loss (no validation clips) every epoch beats the one before.
        """
        best = self.best_loss
        return loss is None or best is None or not math.isfinite(best) or loss < best

    @property
    def still_improving(self) -> bool:
        """Whether the validation loss still fell in the last tenth of the epochs, by more than a hundredth."""
        losses = [float(loss) for row in self.history if (loss := row.get("val_loss")) is not None]
        late = max(1, len(losses) // 10)
        before, after = losses[:-late], losses[-late:]
        return bool(before) and self.best_epoch == self.epoch and min(after) < 0.99 * min(before)

    def last_epoch_in_words(self, epochs: int) -> str:
        """One line about the epoch that ended last, of ``epochs``."""
        row = self.history[-1]
        parts = [f"epoch {row['epoch']}/{epochs}"]
        for name, value in row.items():
            if name.endswith("loss") or name.startswith("val_"):
                parts.append(f"{name.replace('_', ' ')} {value:.4f}")
        return "  ".join(parts) + ("  (best so far)" if self.best_epoch == self.epoch else "")
