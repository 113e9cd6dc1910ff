"""Training: from a configuration to a run folder, and from a run folder to a model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vidcore.training.batches import TrainingData
    from vidcore.training.callbacks import Callback
    from vidcore.training.interruption import RunInterruptedError
    from vidcore.training.job import resume, train
    from vidcore.training.run import RunFolder, create_run, open_run
    from vidcore.training.tensors import TensorClips
    from vidcore.training.trained import Prediction, TrainedModel, load
    from vidcore.training.trainer import Trainer

__all__ = [
    "Callback",
    "Prediction",
    "RunFolder",
    "RunInterruptedError",
    "TensorClips",
    "TrainedModel",
    "Trainer",
    "TrainingData",
    "create_run",
    "load",
    "open_run",
    "resume",
    "train",
]

_HOMES = {
    "Callback": "callbacks",
    "Prediction": "trained",
    "RunFolder": "run",
    "RunInterruptedError": "interruption",
    "TensorClips": "tensors",
    "TrainedModel": "trained",
    "Trainer": "trainer",
    "TrainingData": "batches",
    "create_run": "run",
    "load": "trained",
    "open_run": "run",
    "resume": "job",
    "train": "job",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that predicting with a trained model does not import the training engine.
    if name in _HOMES:
        return getattr(importlib.import_module(f"vidcore.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
