"""A run of one model: train, test, ship."""

from __future__ import annotations

from collections.abc import Mapping

from vidcore.training.batches import BatchSource, TrainingData
from vidcore.training.checkpoints import Checkpoints
from vidcore.training.choosing import TOGETHER, numbers_by_grid
from vidcore.training.results import write_results
from vidcore.training.session import Session
from vidcore.training.trainer import Trainer


def train_one(session: Session) -> bool:
    """Train the session's model on the training rows, choose the epoch on the validation rows, test it once.

    Returns:
        Whether it came to its end; where its time was up, what there is is the best model so far.
    """
    trainer = session.trainer(checkpoints=Checkpoints(session.run.checkpoints))
    trainer.prepare(session.model)
    sources = session.sources(session.data.splits, trainer)
    if session.config.train.grid is not None:
        session, trainer = _chosen(session, sources)
    train = session.balanced(sources["train"], session.data.splits.train)
    val = sources.get("val")
    session.fit(trainer, TrainingData(train, val, session.units), session.run)
    trainer.calibrate(val)
    write_results(session, trainer, sources)
    return not trainer.unfinished


def _chosen(session: Session, sources: Mapping[str, BatchSource]) -> tuple[Session, Trainer]:
    """The session with the numbers that a grid chose, and its trainer."""
    train, val = sources["train"], sources["val"]
    both = range(len(train)), range(len(train), len(train) + len(val))
    chosen = numbers_by_grid(session, [train, val], {TOGETHER: both})[TOGETHER]
    trainer = chosen.trainer(checkpoints=Checkpoints(session.run.checkpoints))
    trainer.prepare(chosen.fresh_model(session.data.splits))
    return chosen, trainer
