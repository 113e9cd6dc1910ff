"""The last step."""

from __future__ import annotations

from torch import Tensor

from vidcore.catalog import FeatureInfo, ReadoutSpec
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.readouts._steps import declared, held, real_first
from vidcore.readouts.base import Readout
from vidcore.readouts.config import LastConfig


class Last(Readout):
    """The spatial mean of the last real step; with ``causal``, of every step: each is the last of those so far.

    Input   (B, D, T', H', W')
    Output  (B, D), or (B, T', D) with ``causal``
    """

    config: LastConfig

    def __init__(self, spec: ReadoutSpec, config: LastConfig, features: FeatureInfo) -> None:
        super().__init__(declared(spec, config.causal), config, features)

    @property
    def spatial(self) -> bool:
        """No: it reads the spatial mean."""
        return False

    @property
    def output(self) -> ReadoutInfo:
        """The width of the features."""
        return ReadoutInfo(self.features.dim, self.config.causal)

    def forward(self, features: FeatureMap) -> Tensor:
        """(B, D, T', H', W') -> (B, D) or (B, T', D)."""
        results = held(real_first(features).sequence(), features)
        return results if self.config.causal else results[:, -1]
