"""Streams as tokens of one width: what the fusions by attention begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from vidcore.catalog import FeatureInfo
from vidcore.errors import ConfigError, WiringError
from vidcore.features import FeatureMap, sinusoid

# Rows and columns count from 0 to this across the picture, whatever the grid, so that grids of different sizes agree
# about places; neighbouring cells of the usual 7x7 to 16x16 grids are then two to four units apart, as frames are.
_PLACES = 32.0


class StreamTokens(nn.Module):
    """Projects one stream to ``width`` channels and normalises it, so that no stream drowns another by its scale.

    Input   (B, D, T, H, W)
    Output  (B, width, T, H, W), or (B, width, T, 1, 1) with ``pool``
    """

    def __init__(self, dim: int, width: int, pool: bool) -> None:
        super().__init__()
        self.pool = pool
        self.project = nn.Linear(dim, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, fmap: FeatureMap) -> FeatureMap:
        """See the class."""
        fmap = fmap.pooled() if self.pool else fmap
        return as_map(self.norm(self.project(fmap.tokens())), fmap)


def as_map(tokens: Tensor, like: FeatureMap) -> FeatureMap:
    """Tokens (B, T*H*W, D) on the grid of ``like``: (B, D, T, H, W)."""
    return replace(like, data=tokens.transpose(1, 2).reshape(len(tokens), -1, *like.data.shape[2:]))


def token_mask(steps: Tensor, fmap: FeatureMap) -> Tensor:
    """A mask of steps (B, T) as one of tokens (B, T*H*W)."""
    return steps.repeat_interleave(fmap.data.shape[3] * fmap.data.shape[4], 1)


def positions(fmap: FeatureMap) -> Tensor:
    """Where and when every token is, as a sinusoidal encoding: (1, T*H*W, D), or (B, ...) where rows have own times.

    Half of the channels tell the time in frames, the rest row and column as shares of the picture, so that
    tokens of streams with other steps and grids are near each other where they show the same thing.
    """
    _, width, steps, rows, columns = fmap.data.shape
    for_time, for_rows = width - width // 2, width // 4
    times = fmap.times if fmap.times.dim() == 2 else fmap.times[None]
    shape = (times.shape[0], steps, rows, columns)
    parts = (
        (times[:, :, None, None], for_time),
        (_centres(rows, fmap.data)[None, None, :, None], for_rows),
        (_centres(columns, fmap.data)[None, None, None], width - for_time - for_rows),
    )
    encoded = [sinusoid(place, size).expand(*shape, size) for place, size in parts]
    return torch.cat(encoded, -1).flatten(1, 3).to(fmap.data.dtype)


def _centres(cells: int, like: Tensor) -> Tensor:
    return (torch.arange(cells, device=like.device) + 0.5) * (_PLACES / cells)


def need_several(streams: Mapping[str, FeatureInfo], fusion: str) -> None:
    """Refuse fewer than two streams.

    Raises:
        WiringError: see above.
    """
    if len(streams) < 2:
        raise WiringError(
            f"fusion {fusion!r} needs at least two streams; there is one: {', '.join(streams)}; "
            "name another --extractor, or use --fusion concat"
        )


def check_heads(width: int, heads: int, fusion: str) -> None:
    """Refuse a width that the heads do not divide.

    Raises:
        ConfigError: see above.
    """
    if width % heads:
        raise ConfigError(
            f"fusion {fusion!r}: width {width} is not a multiple of heads ({heads}); "
            "set fusion.options.width or fusion.options.heads"
        )
