"""A made clip, for building and checking engines before the first real one is there."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vidcore.errors import ShapeError
from vidcore.extractors.base import Extractor
from vidcore.preprocess import plan_windows


def made_clip(extractor: Extractor, frames: int | None, size: tuple[int, int] | None, batch: int) -> Any | None:
    """The preprocessed clip of a made video; ``None`` where frames or size are neither given nor the extractor's own.

    Args:
        extractor: Whose ``preprocess`` makes the clip, on its device.
        frames: Frames of a video; the clip has those of its first window.
        size: (height, width) of a video for extractors that take any.
        batch: Rows of the clip.
    """
    frames, size = frames or extractor.clip.frames, extractor.clip.size or size
    if frames is None or size is None:
        return None
    video = made_video(batch, frames, size)
    first = next(extractor.parameters(), None)
    window = plan_windows(frames, extractor.clip)[0]
    try:
        return extractor.preprocess(window.take(video if first is None else video.to(first.device)))
    except ShapeError:
        # Built for other channels than RGB.
        return None


def made_video(batch: int, frames: int, size: tuple[int, int], seed: int = 0) -> Tensor:
    """Raw video uint8 (B, T, 3, H, W): smooth patterns that change from frame to frame, under grain."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.rand(batch * frames, 3, 4, 4, generator=generator)
    pattern = F.interpolate(cells, size, mode="bilinear", align_corners=True)
    grain = torch.rand(pattern.shape, generator=generator)
    return (255 * (0.9 * pattern + 0.1 * grain)).to(torch.uint8).reshape(batch, frames, 3, *size)
