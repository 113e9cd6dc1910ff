"""A fitted head as part of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidcore.errors import DataError
from vidcore.features import ReadoutInfo
from vidcore.heads._layers import check_labels, class_metrics, refuse_steps
from vidcore.heads.base import FittedHead, Head

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

_PREFIX = "fitted_"


class Fitted(Head):
    """Gives a ``FittedHead`` the face of every other head, so that what tests, saves and serves models knows one kind.

    It has no parameter: ``fit`` takes the place of training. What was fitted lies in buffers, and is saved and
    loaded with the model's other tensors.

    Input   (B, K); a readout that gives (B, T, K) is refused
    Output  ``probabilities`` (B, C) float32
    Targets (B,) int64 class indices

    Raises:
        WiringError: the readout answers per step, or the data has fewer than two classes.
    """

    def __init__(self, inner: FittedHead, features: ReadoutInfo) -> None:
        super().__init__(inner.spec, inner.config, features, inner.targets)
        refuse_steps(features, inner.spec.name)
        check_labels(inner.targets, inner.spec.name)
        self._inner = inner

    def fit(self, features: Tensor, targets: Tensor) -> None:
        """Fit on features (N, K) and class indices (N,).

        Raises:
            DataError: features that are not finite, or rows that the head cannot be fitted on.
        """
        if not bool(features.isfinite().all()):
            row = int((~features.isfinite().all(1)).nonzero()[0])
            raise DataError(f"head {self.spec.name!r}: the features of training clip {row} are not finite (NaN or inf)")
        self._inner.fit(features.cpu().numpy(), targets.cpu().numpy())
        self._hold({name: torch.from_numpy(np.array(array)) for name, array in self._inner.state().items()})

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """(B, K) -> {"probabilities": (B, C)}.

        Raises:
            VidcoreError: it is not fitted yet.
        """
        found = self._inner.predict(features.detach().float().cpu().numpy())
        return {"probabilities": torch.from_numpy(found).float().to(features.device)}

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Negative log likelihood, mean over the batch; without a gradient."""
        chances = outputs["probabilities"]
        return F.nll_loss(chances.clamp(min=torch.finfo(chances.dtype).tiny).log(), targets)

    def metrics(self) -> MetricCollection:
        """Accuracy and macro F1."""
        return class_metrics(len(self.targets.classes))

    @property
    def score(self) -> str:
        """Accuracy."""
        return "accuracy"

    def predictions(self, outputs: dict[str, Tensor]) -> Tensor:
        """Probabilities (B, C)."""
        return outputs["probabilities"]

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: what answers is not written in torch."""

    def _hold(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in state.items():
            self.register_buffer(_PREFIX + name, tensor)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        # How large the arrays are is known once they are there.
        before = prefix + _PREFIX
        found = {name.removeprefix(before): state_dict[name] for name in state_dict if name.startswith(before)}
        self._hold({name: tensor.clone() for name, tensor in found.items()})
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if found:
            self._inner.load_state({name: tensor.cpu().numpy() for name, tensor in found.items()})
