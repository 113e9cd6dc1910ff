"""A 2D CNN on uniformly sampled frames: the baseline that sees no motion."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vidcore.catalog import ExtractorSpec, FeatureInfo
from vidcore.extractors.base import Extractor
from vidcore.extractors.config import NaiveCnnConfig
from vidcore.features import FeatureMap


class NaiveCnn(Extractor):
    """Four strided convolutions per frame, averaged over frames.

    ``frames`` frames are taken at the centres of equal segments of the clip, and the mean of their
    features is the one step of the output, so the order of frames cannot matter.

    Input   (B, 3, T, 64, 64)
    Output  ``mean``: (B, width, 1, 1, 1)
    """

    config: NaiveCnnConfig

    def __init__(self, spec: ExtractorSpec, config: NaiveCnnConfig) -> None:
        super().__init__(spec, config)
        widths = [3, config.width // 8, config.width // 4, config.width // 2, config.width]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                )
                for before, after in itertools.pairwise(widths)
            )
        )

    @property
    def outputs(self) -> Mapping[str, FeatureInfo]:
        """The width of the options."""
        return {"mean": FeatureInfo(self.config.width, (None, None, None))}

    @property
    def blocks(self) -> list[nn.Module]:
        """The four stages."""
        return list(self.stages)

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, 64, 64) -> {"mean": (B, width, 1, 1, 1)}."""
        batch, _, length = clip.shape[:3]
        count = min(self.config.frames, length)
        index = ((torch.arange(count, device=clip.device) + 0.5) * length / count).long()
        frames = clip[:, :, index].transpose(1, 2).flatten(0, 1)
        data = self.stages(frames).mean((2, 3)).unflatten(0, (batch, count)).mean(1)
        times = torch.full((1,), (length - 1) / 2, device=clip.device)
        return {"mean": FeatureMap(data[:, :, None, None, None], times)}
