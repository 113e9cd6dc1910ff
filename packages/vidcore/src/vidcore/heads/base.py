"""The head protocol: named outputs, a loss and metrics; or a fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from vidcore.catalog import HeadSpec
from vidcore.config import HeadConfig
from vidcore.errors import WiringError
from vidcore.features import ReadoutInfo

if TYPE_CHECKING:
    # Importing torchmetrics costs seconds; it is needed only where metrics are computed.
    from torchmetrics import MetricCollection


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """What there is to predict, known from the data before training.

    ``classes`` are the class names in the order of their indices, and ``counts`` how many training
    rows each has. Numbers have a ``shape`` instead: (columns,) of values, (horizons, coordinates) of positions.
    Where several heads are trained at once, the kind is ``several`` and ``parts`` says what each of them predicts.
    """

    kind: Literal["class", "multilabel", "value", "position", "count", "several"]
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    rows: int = 0
    """Training rows; 0 where it is not known."""
    shape: tuple[int, ...] = ()
    """Shape of one row's target, where targets are numbers."""
    names: tuple[str, ...] = ()
    """Names along the first axis of ``shape``: of columns, of horizons."""
    mean: tuple[float, ...] = ()
    """Mean over the training rows of every number of a target, flattened; empty where it is not known."""
    std: tuple[float, ...] = ()
    """Their standard deviations over the training rows."""
    parts: Mapping[str, TargetInfo] = field(default_factory=dict, hash=False)
    """By the label of each head."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TargetInfo:
        """Take back what ``dataclasses.asdict`` gave, from JSON too."""
        plain: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in data.items()}
        parts = {label: cls.from_dict(part) for label, part in plain.pop("parts", {}).items()}
        return cls(**plain, parts=parts)


LOSS = "loss"
"""The ``score`` of a head that has no metric but its loss."""


class Head(nn.Module, ABC):
    """Turns what a readout gives into outputs, and outputs and targets into a loss and metrics.

    Raises:
        WiringError: the data's targets are not of the kind the head predicts.
    """

    def __init__(self, spec: HeadSpec, config: HeadConfig, features: ReadoutInfo, targets: TargetInfo) -> None:
        super().__init__()
        self.spec = spec
        self.config: Any = config
        self.features = features
        self.targets = targets
        if targets.kind != spec.targets:
            raise WiringError(
                f"head {spec.name!r} predicts {spec.targets} targets; the data has {targets.kind} targets"
            )

    @abstractmethod
    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(B, K) or (B, T, K) -> named outputs."""

    @abstractmethod
    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Mean loss over the batch, a scalar."""

    def loss_weight(self, targets: Tensor) -> float | Tensor:
        """What the mean of ``loss`` divides by: the number of clips, unless a head weights them.

        A step that is made of parts weights the loss of each part by it, so that the loss of the step does not
        depend on the parts.
        """
        return float(len(targets))

    def losses_of_many(
        self, tensors: Mapping[str, Tensor], features: Tensor, targets: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]] | None:
        """``loss(forward(features), targets)`` for many heads like this one at once; grids of probes are trained by it.

        A head without it, or with buffers, is trained by ``torch.func.vmap``, to the same result in more time. A
        subclass that overrides ``forward`` or ``loss`` and not this is taken to be without it.

        Args:
            tensors: the parameters of all heads, (U, M, ...) under their names in this one.
            features: (U, B, K), batches that M heads each read.
            targets: (U, B, ...).

        Returns:
            (U, M) losses, whose ``loss_weight`` is B, and outputs (U, M, B, ...); ``None``: not with this
            configuration.
        """
        return None

    @property
    def output_layer(self) -> nn.Linear | None:
        """The linear layer that gives the head's outputs, where the loss is convex in them; ``None``: there is none.

        A head that is nothing but this layer can be solved to convergence instead of trained by steps. Where targets
        are classes or labels, its outputs are logits, and dividing weight and bias calibrates the probabilities.
        """
        return None

    @abstractmethod
    def metrics(self) -> MetricCollection:
        """Fresh metrics of the task, one of them named ``score``."""

    @property
    @abstractmethod
    def score(self) -> str:
        """Name of the metric that stands for the head in tables, or ``LOSS``; epochs are chosen by validation loss."""

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller ``score`` is the better one."""
        return self.metrics()[self.score].higher_is_better is False

    @abstractmethod
    def predictions(self, outputs: dict[str, Tensor]) -> Tensor:
        """What ``metrics`` compare with the targets."""


class FittedHead(ABC):
    """A head that is fitted in one go on features instead of trained by gradients."""

    def __init__(self, spec: HeadSpec, config: HeadConfig, targets: TargetInfo) -> None:
        self.spec = spec
        self.config: Any = config
        self.targets = targets

    @abstractmethod
    def fit(self, features: npt.NDArray[np.floating[Any]], targets: npt.NDArray[Any]) -> None:
        """Fit on features (N, K) and targets (N,)."""

    @abstractmethod
    def predict(self, features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
        """Class probabilities (N, C) for features (N, K)."""

    @abstractmethod
    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What was fitted, as plain arrays (safetensors-ready)."""

    @abstractmethod
    def load_state(self, state: dict[str, npt.NDArray[Any]]) -> None:
        """Take back what ``state`` gave."""
