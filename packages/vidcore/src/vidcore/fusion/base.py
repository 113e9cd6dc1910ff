"""The fusion protocol: several named streams in, one feature map out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import nn

from vidcore.catalog import FeatureInfo, FusionSpec
from vidcore.config import FusionConfig
from vidcore.errors import WiringError
from vidcore.features import FeatureMap


class Fusion(nn.Module, ABC):
    """Turns streams into one map.

    ``streams`` states the shape of every stream before any forward, in the order in which the
    extractors were named.

    Raises:
        WiringError: there is no stream.
    """

    def __init__(self, spec: FusionSpec, config: FusionConfig, streams: Mapping[str, FeatureInfo]) -> None:
        super().__init__()
        self.spec = spec
        self.config: Any = config
        self.streams = dict(streams)
        if not self.streams:
            raise WiringError(f"fusion {spec.name!r} needs at least one stream; name an extractor with --extractor")

    @property
    def spatial(self) -> bool:
        """Whether the answer depends on the grid (H, W) beyond its mean; where nothing does, only means are stored."""
        return True

    @property
    @abstractmethod
    def output(self) -> FeatureInfo:
        """Shape of the fused map."""

    @abstractmethod
    def forward(self, streams: Mapping[str, FeatureMap]) -> FeatureMap:
        """{name: (B, D_s, T_s, H_s, W_s)} -> (B, D, T, H, W)."""
