"""Training: from a configuration to a run folder, and from a run folder to a model."""

from vidcore.training.batches import TrainingData
from vidcore.training.interruption import RunInterruptedError
from vidcore.training.job import resume, train
from vidcore.training.run import RunFolder, create_run, open_run
from vidcore.training.trained import Prediction, TrainedModel, load
from vidcore.training.trainer import Trainer

__all__ = [
    "Prediction",
    "RunFolder",
    "RunInterruptedError",
    "TrainedModel",
    "Trainer",
    "TrainingData",
    "create_run",
    "load",
    "open_run",
    "resume",
    "train",
]
