"""Late fusion: an ensemble of one classifier per stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from vidcore.catalog import FeatureInfo, FusionSpec
from vidcore.features import FeatureMap
from vidcore.fusion.base import Fusion
from vidcore.fusion.config import LateConfig


class Late(Fusion):
    """Each stream is read by itself; what they say is averaged with weights that sum to one.

        m_s = P_s LN(mean of the real steps and cells of x_s),    z = sum_s g_s m_s,    g = softmax(a)

    With a readout and a head that are linear (``mean`` and ``classification``), this is an ensemble of one
    classifier per stream, averaged in its logits: a linear head h has h(z) = sum_s g_s h(m_s), because the
    weights sum to one, and h(m_s) is a linear classifier of stream s alone - any such, where ``width`` is not
    below the number of classes. Streams meet nowhere before the logits: each is averaged over its own steps and
    grid, so that none is resampled to those of another. ``members`` gives the m_s; ``head(readout(m_s))``
    are the logits of one stream, and their sum weighted by ``stream_weights`` is what the model says.

    All are trained together, on the loss of the average. For members trained alone, train one run per stream.

    Input   {s: (B, D_s, T_s, H_s, W_s)}
    Output  (B, width, 1, 1, 1)
    """

    config: LateConfig

    def __init__(self, spec: FusionSpec, config: LateConfig, streams: Mapping[str, FeatureInfo]) -> None:
        super().__init__(spec, config, streams)
        self.norms = nn.ModuleList(nn.LayerNorm(info.dim) for info in self.streams.values())
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.ModuleList(nn.Linear(info.dim, config.width) for info in self.streams.values())
        # A single stream has nothing to be weighed against, and a softmax over one weight no gradient.
        learned = config.weights == "learned" and len(self.streams) > 1
        self.weight_logits = nn.Parameter(torch.zeros(len(self.streams)), requires_grad=learned)

    @property
    def spatial(self) -> bool:
        """No: it reads the spatial means."""
        return False

    @property
    def output(self) -> FeatureInfo:
        """One step without a grid, ``width`` channels."""
        first = next(iter(self.streams.values()))
        return replace(first, dim=self.config.width, stride=(None, None, None))

    @property
    def stream_weights(self) -> Tensor:
        """Weights (S,) of the streams in their order; they sum to one."""
        return self.weight_logits.softmax(0)

    def members(self, streams: Mapping[str, FeatureMap]) -> dict[str, FeatureMap]:
        """What each stream says by itself, {s: (B, width, 1, 1, 1)}."""
        said = {}
        for name, norm, project in zip(self.streams, self.norms, self.project, strict=True):
            mean = _mean(streams[name])
            said[name] = replace(mean, data=project(self.dropout(norm(mean.data[..., 0, 0, 0])))[..., None, None, None])
        return said

    def forward(self, streams: Mapping[str, FeatureMap]) -> FeatureMap:
        """{s: (B, D_s, T_s, H_s, W_s)} -> (B, width, 1, 1, 1)."""
        members = self.members(streams)
        data = torch.stack([member.data for member in members.values()], -1) @ self.stream_weights
        return replace(next(iter(members.values())), data=data)


def _mean(fmap: FeatureMap) -> FeatureMap:
    """The mean of the real steps and cells as a map of one step, at the mean of their times."""
    real = fmap.readable()
    if real is None or fmap.mask is None:
        return FeatureMap(fmap.data.mean((2, 3, 4), keepdim=True), fmap.times.float().mean(-1, keepdim=True))
    share = real / real.sum(1, keepdim=True)
    data = (fmap.data.mean((3, 4)) * share[:, None].to(fmap.data.dtype)).sum(2)
    times = (fmap.times * share).sum(1, keepdim=True)
    return FeatureMap(data[..., None, None, None], times, fmap.mask.any(1, keepdim=True))
