"""Checkpoints of a training that runs: what goes into them, and going on from one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vidcore.errors import RunError
from vidcore.model import VideoModel
from vidcore.training.averaging import WeightAverage
from vidcore.training.checkpoints import Checkpoints, load_trained_state, trained_state
from vidcore.training.processes import Processes
from vidcore.training.seeding import restore_rng, rng_state
from vidcore.training.sharding import optimizer_like, whole
from vidcore.training.state import TrainingState


@dataclass(slots=True, eq=False)
class Saving:
    """Saves all that a training needs to go on, and its best weights. Only the first process writes."""

    checkpoints: Checkpoints
    processes: Processes
    model: VideoModel
    optimizer: Any
    scheduler: Any
    precision: Any
    average: WeightAverage | None
    _saved_at: float = field(default_factory=time.monotonic)

    @property
    def seconds_ago(self) -> float:
        """Since the last resumable checkpoint, or since the training began."""
        return time.monotonic() - self._saved_at

    def save(self, state: TrainingState) -> None:
        """Save where the training stands; all processes must ask where the model is sharded.

        Raises:
            RunError: the disk is full; the checkpoint before is kept.
        """
        payload = {
            "model": self._tensors(),
            "ema": self._averages(),
            "optimizer": whole(self.optimizer.state_dict()),
            "scheduler": self.scheduler.state_dict(),
            "precision": self.precision.state_dict(),
            "rng": rng_state(),
            "state": state.as_dict(),
        }
        if self.processes.first:
            self.checkpoints.save_last(payload)
        self._saved_at = time.monotonic()

    def save_best(self, state: TrainingState) -> None:
        """Save the weights of this epoch, averaged where they are."""
        tensors = self._averages() if self.average is not None else self._tensors()
        if self.processes.first:
            self.checkpoints.save_best({"model": tensors, "epoch": state.epoch})

    def restore(self, payload: Mapping[str, Any]) -> TrainingState:
        """Go on from what ``save`` wrote.

        Raises:
            RunError: it is of another model.
        """
        if self.average is not None and payload["ema"]:
            load_trained_state(self.model, payload["ema"])
            self.average.adopt()
        load_trained_state(self.model, payload["model"])
        self.optimizer.load_state_dict(optimizer_like(payload["optimizer"], self.optimizer))
        self.scheduler.load_state_dict(payload["scheduler"])
        self.precision.load_state_dict(payload["precision"])
        restore_rng(payload["rng"])
        return TrainingState.from_dict(payload["state"])

    def load_best(self, state: TrainingState) -> None:
        """Give the model the weights of the best epoch.

        Raises:
            RunError: they cannot be read, or are of another training.
        """
        best = self.processes.from_first(self.checkpoints.load_best() if self.processes.first else {})
        if best["epoch"] != state.best_epoch:
            raise RunError(
                f"the best checkpoint is of epoch {best['epoch']} and the training says {state.best_epoch}; "
                "it was written by another training of this run: train again under another --name"
            )
        load_trained_state(self.model, best["model"])

    def _tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = whole(trained_state(self.model))
        return tensors

    def _averages(self) -> dict[str, Tensor]:
        if self.average is None:
            return {}
        with self.average.applied():
            # Copies: what is applied is taken away again.
            return {name: tensor.clone() for name, tensor in self._tensors().items()}
