"""Several looks at one clip in testing, whose answers are averaged."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vidcore.catalog import ClipFormat
from vidcore.errors import ConfigError
from vidcore.preprocess import fit_frames, frames_before_crop


def views(frames: Tensor, clip: ClipFormat, crops: int = 3) -> Tensor:
    """Crops of a video, evenly placed along its longer side, as SlowFast is tested (arXiv:1812.03982, 3 crops).

    Clips along time are those of ``Sampling(kind="multi_clip", clips=k)``; stacked to (k, T, C, H, W) they are
    cropped together, and the answers of all k times ``crops`` views are averaged: ``over_views``.

    Args:
        frames: uint8 (..., C, H, W).
        clip: what the extractor takes; its size is that of the crops.
        crops: how many; one is the centre, as ``fit_frames`` cuts it.

    Returns:
        uint8 (crops, ..., C, h, w).

    Raises:
        ConfigError: fewer than one; or several of an extractor that takes whole pictures, of which nothing is cropped.
    """
    if crops < 1:
        raise ConfigError(f"crops is {crops}; it must be at least 1")
    if crops == 1:
        return fit_frames(frames, clip)[None]
    if clip.size is None or clip.fit != "crop":
        raise ConfigError(
            f"{crops} crops are asked for, and the extractor takes whole pictures of "
            f"{'any size' if clip.size is None else 'one size, stretched'}; use crops=1"
        )
    resized = frames_before_crop(frames, clip.size, clip)
    (height, width), (h, w) = resized.shape[-2:], clip.size
    if h > height or w > width:
        raise ConfigError(f"{crops} crops of {h}x{w} do not fit into frames of {height}x{width}; use crops=1")
    # Offsets are rounded up, as PySlowFast and PyTorchVideo do in uniform_crop.
    along_width = width - w >= height - h
    cut = []
    for place in range(crops):
        share = place / (crops - 1)
        top = math.ceil((height - h) * (0.5 if along_width else share))
        left = math.ceil((width - w) * (share if along_width else 0.5))
        cut.append(resized[..., top : top + h, left : left + w])
    return torch.stack(cut)


def over_views(answer: Callable[[Tensor], Tensor], looks: Tensor, chunk: int) -> Tensor:
    """The mean answer over views, of which no more than ``chunk`` are answered at a time.

    Args:
        answer: (N, T, C, H, W) -> (N, ...), such as the model's class probabilities.
        looks: (..., T, C, H, W), whatever the axes of views are: flattened, they are one batch.
        chunk: the most views of one call; memory grows with it, and the result does not depend on it.

    Returns:
        (...), the mean over all views.

    Raises:
        ConfigError: ``chunk`` below 1.
    """
    if chunk < 1:
        raise ConfigError(f"chunk is {chunk}; it must be at least 1")
    flat = looks.reshape(-1, *looks.shape[-4:])
    sums = [answer(flat[first : first + chunk]).sum(0) for first in range(0, len(flat), chunk)]
    return torch.stack(sums).sum(0) / len(flat)
