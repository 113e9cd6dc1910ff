"""Options of the built-in heads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vidcore.config import HeadConfig


class ClassificationConfig(HeadConfig):
    """Options of ``classification``."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before the linear layer."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = "none"
    """Weights of the classes in the loss: inverse training frequency, or one number per class in order."""
    multilabel: bool = False
    """Several labels per clip: sigmoid and binary cross-entropy instead of softmax."""
