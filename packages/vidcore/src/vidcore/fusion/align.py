"""Making streams agree in time and space."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from vidcore.catalog import FeatureInfo
from vidcore.errors import WiringError
from vidcore.features import FeatureMap


def reference_stream(streams: Mapping[str, FeatureInfo], asked: str | None, fusion: str) -> str:
    """The stream that sets the grid: the one asked for, or the first.

    Raises:
        WiringError: the stream asked for does not exist.
    """
    if asked is None:
        return next(iter(streams))
    if asked not in streams:
        raise WiringError(
            f"fusion {fusion!r}: reference {asked!r} is not a stream; the streams are: {', '.join(streams)}"
        )
    return asked


def align(fmap: FeatureMap, reference: FeatureMap) -> Tensor:
    """``fmap`` on the time steps and grid of ``reference``: (B, D, T, H, W).

    Time is interpolated at the reference's own times; space bilinearly, over the same field of view.
    """
    in_time = fmap if fmap.times is reference.times else fmap.at(reference.times)
    grid = reference.data.shape[3:]
    data = in_time.data
    if data.shape[3:] == grid:
        return data
    if data.shape[3:] == (1, 1):
        return data.expand(-1, -1, -1, *grid)
    frames = data.transpose(1, 2).flatten(0, 1)
    resized = F.interpolate(frames, grid, mode="bilinear", antialias=True)
    return resized.reshape(data.shape[0], data.shape[2], -1, *grid).transpose(1, 2)
