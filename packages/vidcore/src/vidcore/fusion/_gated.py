"""Gated sum of streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from vidcore.catalog import FeatureInfo, FusionSpec
from vidcore.features import FeatureMap
from vidcore.fusion.align import align, reference_stream
from vidcore.fusion.base import Fusion
from vidcore.fusion.config import GatedConfig


class GatedSum(Fusion):
    """Convex combination of streams on the grid of one reference stream.

        z = sum_s g_s R(P_s x_s),    g = softmax(a),    so sum_s g_s = 1

    P_s is a 1x1x1 projection to ``width`` channels and R resamples to the grid of ``reference``.
    The gates start equal, so no stream is favoured before training.

    Input   {s: (B, D_s, T_s, H_s, W_s)}
    Output  (B, width, T, H, W), the grid of ``reference``
    """

    config: GatedConfig

    def __init__(self, spec: FusionSpec, config: GatedConfig, streams: Mapping[str, FeatureInfo]) -> None:
        super().__init__(spec, config, streams)
        self.reference = reference_stream(self.streams, config.reference, spec.name)
        self.project = nn.ModuleList(nn.Conv3d(info.dim, config.width, 1) for info in self.streams.values())
        self.gate_logits = nn.Parameter(torch.zeros(len(self.streams)))

    @property
    def spatial(self) -> bool:
        """Only where streams are brought to one grid."""
        return len(self.streams) > 1

    @property
    def output(self) -> FeatureInfo:
        """The reference's strides, ``width`` channels."""
        return replace(self.streams[self.reference], dim=self.config.width)

    def forward(self, streams: Mapping[str, FeatureMap]) -> FeatureMap:
        """{s: (B, D_s, T_s, H_s, W_s)} -> (B, width, T, H, W)."""
        reference = streams[self.reference]
        fused = torch.zeros((), device=reference.data.device, dtype=reference.data.dtype)
        for name, project, gate in zip(self.streams, self.project, self.gate_logits.softmax(0), strict=True):
            # R and P_s commute; projecting first keeps the convolution on the stream's own grid.
            projected = replace(streams[name], data=project(streams[name].data))
            fused = fused + gate * align(projected, reference)
        return replace(reference, data=fused)
