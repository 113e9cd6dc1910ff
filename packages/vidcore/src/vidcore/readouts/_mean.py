"""Mean over time and space."""

from __future__ import annotations

import torch
from torch import Tensor

from vidcore.catalog import FeatureInfo, ReadoutSpec
from vidcore.features import FeatureMap, ReadoutInfo
from vidcore.readouts._steps import declared, held, real_first
from vidcore.readouts.base import Readout
from vidcore.readouts.config import MeanConfig


class Mean(Readout):
    """The mean of all real steps; with ``causal``, of those so far.

    Input   (B, D, T', H', W')
    Output  (B, D), or (B, T', D) with ``causal``
    """

    config: MeanConfig

    def __init__(self, spec: ReadoutSpec, config: MeanConfig, features: FeatureInfo) -> None:
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
        if self.config.causal:
            sums = real_first(features).sequence().cumsum(1)
            return held(sums / torch.arange(1, features.steps + 1, device=sums.device)[:, None], features)
        sequence = features.sequence()
        if features.mask is None:
            return sequence.mean(1)
        weight = features.mask.to(sequence.dtype)[..., None]
        return (sequence * weight).sum(1) / weight.sum(1).clamp(min=1)
