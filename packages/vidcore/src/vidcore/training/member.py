"""One member of a grid, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from vidcore.config import TrainConfig
from vidcore.training.batches import Predictions
from vidcore.training.state import Row, TrainingState


@dataclass(frozen=True, slots=True, order=True)
class GridMember:
    """One training of a grid; ``fold`` is the number of the split that it trains on."""

    lr: float
    weight_decay: float
    seed: int = 0
    fold: int = 0

    def config(self, config: TrainConfig) -> TrainConfig:
        """``config`` with this member's numbers."""
        return config.model_copy(update={"lr": self.lr, "weight_decay": self.weight_decay, "seed": self.seed})


@dataclass(slots=True, eq=False)
class MemberResult:
    """What became of a member.

    training     where it stands: the epochs' rows, the best one and its numbers
    state        tensors of the best epoch on the CPU, as ``VideoModel.state_dict`` names them, without extractors
    validation   what it said about the validation clips in that epoch; ``None``: there are none
    failure      why it was given up; the other fields are then those until then
    """

    member: GridMember
    training: TrainingState = field(default_factory=TrainingState)
    state: dict[str, Tensor] = field(default_factory=dict)
    validation: Predictions | None = None
    failure: str | None = None

    @property
    def history(self) -> list[Row]:
        """One row per epoch, with the columns of ``metrics.csv``."""
        return self.training.history

    @property
    def best_epoch(self) -> int | None:
        """From 1: the epoch with the lowest validation loss."""
        return self.training.best_epoch
