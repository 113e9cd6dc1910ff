"""The readout protocol: a feature map in, what the task reads out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from vidcore.catalog import FeatureInfo, ReadoutSpec
from vidcore.config import ReadoutConfig
from vidcore.features import FeatureMap, ReadoutInfo


class Readout(nn.Module, ABC):
    """Reduces a map to the vector, or the vector per step, that a head reads."""

    def __init__(self, spec: ReadoutSpec, config: ReadoutConfig, features: FeatureInfo) -> None:
        super().__init__()
        self.spec = spec
        self.config: Any = config
        self.features = features

    @property
    def spatial(self) -> bool:
        """Whether the answer depends on the grid (H, W) beyond its mean; where nothing does, only means are stored."""
        return True

    @property
    @abstractmethod
    def output(self) -> ReadoutInfo:
        """Shape of the result."""

    @abstractmethod
    def forward(self, features: FeatureMap) -> Tensor:
        """(B, D, T', H', W') -> (B, K) or (B, T', K); masked steps are not read."""
