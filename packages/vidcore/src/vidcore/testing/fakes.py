"""Made inputs: videos and feature maps that exercise a network and need no file."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcore.catalog import FeatureInfo
from vidcore.extractors.base import step_times
from vidcore.features import FeatureMap


def fake_video(shape: tuple[int, int, int, int, int], seed: int = 0) -> Tensor:
    """A raw video uint8 (B, T, C, H, W) of coarse colour patterns, another one in every frame.

    White noise would look the same to a deep network in every frame; patterns of 4x4 cells survive
    its strides, so that changing a frame changes its features.
    """
    batch, frames, channels, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    cells = torch.rand(batch * frames, channels, 4, 4, generator=generator)
    pattern = F.interpolate(cells, (height, width), mode="bilinear", align_corners=True)
    grain = torch.rand(pattern.shape, generator=generator)
    return ((0.9 * pattern + 0.1 * grain) * 255).to(torch.uint8).reshape(shape)


def fake_map(
    info: FeatureInfo, *, batch: int = 2, frames: int = 16, size: tuple[int, int] = (32, 32), seed: int = 0
) -> FeatureMap:
    """Standard normal features (B, D, T', H', W') of the declared shape for a clip of ``frames`` and ``size``."""
    shape = info.shape(frames, *size)
    data = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed))
    stride = info.stride[0]
    times = step_times(shape[1], stride or 1, data, offset=(frames - 1) / 2 if stride is None else None)
    return FeatureMap(data, times)
