"""Where things are in each frame, and how they move: a small network for motion and trajectories."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vidcore.catalog import ExtractorSpec, FeatureInfo
from vidcore.extractors.base import Extractor, step_times
from vidcore.extractors.config import KeypointsConfig
from vidcore.features import FeatureMap


class Keypoints(Extractor):
    """A CNN finds ``keypoints`` places per frame by spatial softmax; temporal convolutions read their paths.

    The expected position under the softmax of a feature map is a coordinate that moves smoothly with
    what the map responds to (Finn et al. 2016, Deep Spatial Autoencoders, arXiv:1509.06113), so motion is
    learned from few clips. Coordinates are taken relative to their mean over the clip.

    Input   (B, 3, T, 64, 64)
    Output  ``features``: (B, width, T, 1, 1), one step per frame, which sees six frames to either side
    """

    config: KeypointsConfig

    def __init__(self, spec: ExtractorSpec, config: KeypointsConfig) -> None:
        super().__init__(spec, config)
        points, width = config.keypoints, config.width
        self.detect = nn.Sequential(
            nn.Conv2d(3, 16, 5, 2, 2),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 24, 3, 2, 1),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
            nn.Conv2d(24, 24, 3, 1, 1),
            nn.BatchNorm2d(24),
            nn.ReLU(inplace=True),
            # No bias: a constant added to a map does not move its softmax.
            nn.Conv2d(24, points, 1, bias=False),
        )
        self.sharpness = nn.Parameter(torch.tensor(4.0))
        widths = (2 * points, width, width, width)
        self.track = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(before, after, 5, padding=2, bias=False), nn.BatchNorm1d(after), nn.ReLU())
                for before, after in itertools.pairwise(widths)
            )
        )

    @property
    def outputs(self) -> Mapping[str, FeatureInfo]:
        """The width of the options."""
        return {"features": FeatureInfo(self.config.width)}

    @property
    def blocks(self) -> list[nn.Module]:
        """The detector, then the temporal convolutions."""
        return [self.detect, *self.track]

    def forward(self, clip: Tensor) -> dict[str, FeatureMap]:
        """(B, 3, T, 64, 64) -> {"features": (B, width, T, 1, 1)}."""
        batch, _, length = clip.shape[:3]
        # Contrast against the clip's own mean colour: which colour the background has says nothing of motion.
        contrast = 2 * (clip - clip.mean((2, 3, 4), keepdim=True))
        heat = self.detect(contrast.transpose(1, 2).flatten(0, 1)) * self.sharpness
        places = expected_positions(heat).reshape(batch, length, -1).transpose(1, 2)
        data = self.track(places - places.mean(2, keepdim=True))
        return {"features": FeatureMap(data[..., None, None], step_times(length, 1, data))}


def expected_positions(heat: Tensor) -> Tensor:
    """Expected (row, column) in [-1, 1] under the softmax of each map: (N, K, H, W) -> (N, K, 2)."""
    chance = heat.flatten(2).softmax(2).reshape(heat.shape)
    rows = torch.linspace(-1, 1, heat.shape[2], device=heat.device, dtype=heat.dtype)
    columns = torch.linspace(-1, 1, heat.shape[3], device=heat.device, dtype=heat.dtype)
    return torch.stack([(chance.sum(3) * rows).sum(2), (chance.sum(2) * columns).sum(2)], 2)
