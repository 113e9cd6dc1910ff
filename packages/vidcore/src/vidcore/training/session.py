"""What the trainings of one run share: the folder, the data, who is told, and the parts that stay the same."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vidcore.assemble import assemble
from vidcore.catalog import Registry
from vidcore.config import RunConfig
from vidcore.data.splits import Splits
from vidcore.heads.base import TargetInfo
from vidcore.model import VideoModel
from vidcore.training.batches import BatchSource, TrainingData
from vidcore.training.callbacks import Callback
from vidcore.training.checkpoints import Checkpoints
from vidcore.training.datasets import Balanced, set_of
from vidcore.training.deadline import Deadline
from vidcore.training.device import is_sharded
from vidcore.training.one_device import OneDevice
from vidcore.training.preparation import PreparedData
from vidcore.training.progress import Progress
from vidcore.training.run import RunFolder
from vidcore.training.seeding import seed_all
from vidcore.training.sharding import whole
from vidcore.training.sources import batch_sources
from vidcore.training.state import Row
from vidcore.training.tracking import open_trackers
from vidcore.training.trained import save_trained
from vidcore.training.trainer import Trainer

if TYPE_CHECKING:
    from vidcore.training.device import Launched


@dataclass(slots=True, eq=False)
class Session:
    """One sitting of a run.

    Attributes:
        run: its folder.
        config: resolved.
        data: rows, targets and splits.
        registry: components.
        progress: who is told how far it is.
        fabric: launched.
        model: as assembled, in its initial state.
        deadline: of this sitting.
        changed: data or versions are others than when the run began, and it goes on nevertheless.
        callbacks: a person's own code.
        splits: into how many parts micro-batches are cut since memory ran out; what one fold learned, the next knows.
    """

    run: RunFolder
    config: RunConfig
    data: PreparedData
    registry: Registry
    progress: Progress
    fabric: Launched
    model: VideoModel
    deadline: Deadline
    changed: bool = False
    callbacks: Sequence[Callback] = ()
    splits: int = 1

    def trainer(self, **options: Any) -> Trainer:
        """A trainer of this run; ``options`` as those of ``Trainer``."""
        shared: dict[str, Any] = {"fabric": self.fabric, "progress": self.progress, "deadline": self.deadline}
        own: dict[str, Any] = {"wreck": self.run.wreck, "splits": self.splits, "callbacks": self.callbacks}
        own["name_of"] = lambda row: str(self.data.rows[row].video)
        return Trainer(self.config.train, **shared, **own, **options)

    def sources(self, splits: Splits, trainer: Trainer) -> dict[str, BatchSource]:
        """The batches of each part of ``splits``; ``trainer`` encodes what frozen extractors see once."""
        # The first process extracts what the store lacks; the others find it there.
        with nullcontext() if isinstance(self.fabric, OneDevice) else self.fabric.rank_zero_first():
            return batch_sources(self.config, replace(self.data, splits=splits), trainer.model, trainer, self.progress)

    def fresh_model(self, splits: Splits, seed: int | None = None) -> VideoModel:
        """Another model in its initial state, for training on ``splits``; frozen extractors are shared.

        ``seed`` is by default that of the run.
        """
        seed_all(self.config.train.seed if seed is None else seed)
        # A sharded extractor belongs to the model that it was sharded with.
        streams = () if is_sharded(self.fabric) else self.model.frozen
        shared = {stream: self.model.extractor(stream) for stream in streams}
        return assemble(self.config, self.data.told(splits), self.registry, built=shared)

    @property
    def units(self) -> list[Hashable]:
        """Of every row of the data, what it must not be divided from: its group, or its video."""
        return [row.video if row.group is None else row.group for row in self.data.rows]

    def balanced(self, source: BatchSource, rows: Sequence[int]) -> BatchSource:
        """The training clips ``source``, which are the rows ``rows``, drawn from several data sets as is asked for."""
        balance = self.config.data.balance
        if balance == "size":
            return source
        return Balanced(source, [set_of(self.data.rows[row]) for row in rows], balance, self.config.train.seed)

    def fit(
        self, trainer: Trainer, data: TrainingData, folder: RunFolder, *, fold: int = 0, before: Sequence[Row] = ()
    ) -> None:
        """Train what ``trainer`` has prepared, from where ``folder`` says that it stopped.

        ``before`` are the rows of ``metrics.csv`` of the folds that are done.
        """
        payload = self._payload(folder)
        updates = payload["state"]["updates"] if payload else 0
        trackers = open_trackers(self.run, self.config, before, fold, updates) if trainer.processes.first else []
        trainer.trackers = trackers
        seed_all(self.config.train.seed)
        try:
            trainer.fit(trainer.model, data, payload)
        finally:
            for tracker in trackers:
                tracker.close()
        self.splits = trainer.state.splits

    def ship(self, trainer: Trainer, info: TargetInfo, facts: Mapping[str, Any]) -> None:
        """Write the trainer's model to the run folder."""
        tensors = whole(trainer.model.state_dict()) if is_sharded(self.fabric) else None
        if trainer.processes.first:
            save_trained(self.run.root, trainer.model, self.config, info, facts, tensors)

    def _payload(self, folder: RunFolder) -> dict[str, Any] | None:
        payload = Checkpoints(folder.checkpoints).load_last() if folder.checkpoints.is_dir() else None
        if payload is not None and self.changed:
            # Scores on other data say nothing about these: the best epoch is looked for anew.
            payload["state"] |= {"best_score": None, "best_loss": None, "best_epoch": None, "stale": 0}
        return payload
