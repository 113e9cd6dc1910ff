"""Who is told the numbers: ``metrics.csv``, TensorBoard."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from vidcore.config import RunConfig
from vidcore.training.files import replacing
from vidcore.training.run import RunFolder
from vidcore.training.state import Row

# A point costs a sixth of a millisecond, a tenth of the step of a small head; nobody sees ten a second apart.
_POINT_SECONDS = 0.1


class Tracker(Protocol):
    """Hears of every step and every epoch."""

    def step(self, updates: int, numbers: Mapping[str, float]) -> None:
        """After optimiser step ``updates``."""
        ...

    def epoch(self, history: Sequence[Row]) -> None:
        """After an epoch; ``history`` has one row per epoch so far, the newest last."""
        ...

    def close(self) -> None:
        """After the last one."""
        ...


def open_trackers(run: RunFolder, config: RunConfig, before: Sequence[Row], fold: int, updates: int) -> list[Tracker]:
    """The trackers of a training: ``metrics.csv`` and those that ``config.train.trackers`` names.

    Args:
        run: its folder.
        config: resolved; kept with the run where a tracker can.
        before: rows of ``metrics.csv`` of the folds that are done.
        fold: the fold that is trained; 0: none.
        updates: steps done before.
    """
    from vidcore.training.publishing import MlflowTracker, WandbTracker

    events = run.tensorboard / f"fold{fold}" if fold else run.tensorboard
    makers: dict[str, Callable[[], Tracker]] = {
        "tensorboard": lambda: TensorBoardTracker(events, updates),
        "wandb": lambda: WandbTracker(run, config, fold),
        "mlflow": lambda: MlflowTracker(run, config, fold),
    }
    return [CsvTracker(run.metrics, before), *(makers[name]() for name in config.train.trackers)]


class CsvTracker:
    """``metrics.csv``: one row per fold and epoch, rewritten whole, so that no row survives a resume twice.

    ``before`` are the rows of the folds that are done.
    """

    def __init__(self, path: Path, before: Sequence[Row] = ()) -> None:
        self.path = path
        self._before = list(before)

    def step(self, updates: int, numbers: Mapping[str, float]) -> None:
        """Steps are not in the table."""

    def epoch(self, history: Sequence[Row]) -> None:
        """Write the whole table."""
        rows = [*self._before, *history]
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with replacing(self.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def close(self) -> None:
        """Nothing is open."""


class TensorBoardTracker:
    """TensorBoard event files in ``folder``; after a resume, what came later than ``updates`` is hidden."""

    def __init__(self, folder: Path, updates: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=updates or None)
        self._told = -math.inf

    def step(self, updates: int, numbers: Mapping[str, float]) -> None:
        """One point per step, at most ten a second."""
        if time.monotonic() - self._told < _POINT_SECONDS:
            return
        self._told = time.monotonic()
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, updates)

    def epoch(self, history: Sequence[Row]) -> None:
        """One point per epoch, at the step the epoch ended with."""
        row = history[-1]
        for name, value in row.items():
            if isinstance(value, float) and name not in ("seconds", "lr"):
                self._writer.add_scalar(f"epoch/{name}", value, row["updates"])
        self._writer.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()
