"""Training: from a configuration to a run folder, and from a run folder to a model."""

from vidcore.training.interruption import Interrupted
from vidcore.training.job import resume, train
from vidcore.training.run import RunFolder, create_run, open_run
from vidcore.training.trained import Prediction, TrainedModel, load
from vidcore.training.trainer import Trainer, TrainingData

__all__ = [
    "Interrupted",
    "Prediction",
    "RunFolder",
    "TrainedModel",
    "Trainer",
    "TrainingData",
    "create_run",
    "load",
    "open_run",
    "resume",
    "train",
]
