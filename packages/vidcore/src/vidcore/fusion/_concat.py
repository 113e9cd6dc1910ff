"""Concatenation of streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from vidcore.catalog import FeatureInfo, FusionSpec
from vidcore.features import FeatureMap
from vidcore.fusion.align import align, reference_stream
from vidcore.fusion.base import Fusion
from vidcore.fusion.config import ConcatConfig


class Concat(Fusion):
    """Streams side by side in channels, on the grid of one reference stream; no parameters.

    With one stream it changes nothing.

    Input   {s: (B, D_s, T_s, H_s, W_s)}
    Output  (B, sum_s D_s, T, H, W), the grid of ``reference``
    """

    def __init__(self, spec: FusionSpec, config: ConcatConfig, streams: Mapping[str, FeatureInfo]) -> None:
        super().__init__(spec, config, streams)
        self.reference = reference_stream(self.streams, config.reference, spec.name)

    @property
    def spatial(self) -> bool:
        """Only where streams are brought to one grid."""
        return len(self.streams) > 1

    @property
    def output(self) -> FeatureInfo:
        """The reference's strides, all channels."""
        return replace(self.streams[self.reference], dim=sum(info.dim for info in self.streams.values()))

    def forward(self, streams: Mapping[str, FeatureMap]) -> FeatureMap:
        """{s: (B, D_s, T_s, H_s, W_s)} -> (B, sum_s D_s, T, H, W)."""
        reference = streams[self.reference]
        if len(self.streams) == 1:
            return reference
        return replace(reference, data=torch.cat([align(streams[name], reference) for name in self.streams], 1))
