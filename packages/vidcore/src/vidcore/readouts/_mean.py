"""Mean over time and space."""

from __future__ import annotations

from torch import Tensor

from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.readouts.base import Readout


class Mean(Readout):
    """The mean of all real steps: (B, D, T', H', W') -> (B, D)."""

    @property
    def output(self) -> ReadoutInfo:
        """The width of the features."""
        return ReadoutInfo(self.features.dim)

    def forward(self, features: FeatureMap) -> Tensor:
        """(B, D, T', H', W') -> (B, D)."""
        sequence = features.sequence()
        if features.mask is None:
            return sequence.mean(1)
        weight = features.mask.to(sequence.dtype)[..., None]
        return (sequence * weight).sum(1) / weight.sum(1).clamp(min=1)
