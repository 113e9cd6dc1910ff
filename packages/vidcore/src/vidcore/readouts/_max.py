"""Maximum over time and space."""

from __future__ import annotations

from torch import Tensor

from vidcore.catalog import FeatureInfo, ReadoutSpec
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.readouts._steps import declared, held, real_first
from vidcore.readouts.base import Readout
from vidcore.readouts.config import MaxConfig


class Max(Readout):
    """The largest value of every channel over all real steps and cells; with ``causal``, over those so far.

    Input   (B, D, T', H', W')
    Output  (B, D), or (B, T', D) with ``causal``
    """

    config: MaxConfig

    def __init__(self, spec: ReadoutSpec, config: MaxConfig, features: FeatureInfo) -> None:
        super().__init__(declared(spec, config.causal), config, features)

    @property
    def output(self) -> ReadoutInfo:
        """The width of the features."""
        return ReadoutInfo(self.features.dim, self.config.causal)

    def forward(self, features: FeatureMap) -> Tensor:
        """(B, D, T', H', W') -> (B, D) or (B, T', D)."""
        largest = real_first(features).data.amax((3, 4)).transpose(1, 2).cummax(1).values
        results = held(largest, features)
        return results if self.config.causal else results[:, -1]
