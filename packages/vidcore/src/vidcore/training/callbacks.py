"""What a person's own code may hear of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vidcore.training.state import Row

if TYPE_CHECKING:
    from vidcore.training.trainer import Trainer


class Callback:
    """Hears of steps and epochs, on the first process only; overwrite what you need.

    ``trainer.stop()`` ends the training after the step or epoch that is running, ``trainer.state`` says where
    it stands, and ``trainer.model`` is the model.
    """

    def on_step(self, trainer: Trainer, numbers: Mapping[str, float]) -> None:
        """After an update; ``numbers`` has ``train/loss`` and ``train/lr``."""

    def on_epoch(self, trainer: Trainer, row: Row) -> None:
        """After an epoch and its validation; ``row`` is what ``metrics.csv`` gets."""
