"""A run of one model: train, test, ship."""

from __future__ import annotations

from vidcore.training.batches import TrainingData
from vidcore.training.checkpoints import Checkpoints
from vidcore.training.results import write_results
from vidcore.training.session import Session


def train_one(session: Session) -> bool:
    """Train the session's model on the training rows, choose the epoch on the validation rows, test it once.

    Returns:
        Whether it came to its end; where its time was up, what there is is the best model so far.
    """
    trainer = session.trainer(checkpoints=Checkpoints(session.run.checkpoints))
    trainer.prepare(session.model)
    sources = session.sources(session.data.splits, trainer)
    session.fit(trainer, TrainingData(sources["train"], sources.get("val")), session.run)
    write_results(session, trainer, sources)
    return not trainer.unfinished
