"""The layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Diff3d(nn.Module):
    """Three 3D convolutions with batch normalisation; the last two halve time, all halve space.

    Input   (B, 3, T, H, W)
    Output  middle (B, 2 * width, T/2, H/4, W/4) and features (B, 4 * width, T/4, H/8, W/8), rounded up
    """

    def __init__(self, width: int, difference: bool, dropout: float) -> None:
        super().__init__()
        self.difference = difference
        self.stages = nn.ModuleList(
            [
                _stage(6 if difference else 3, width, (1, 2, 2)),
                _stage(width, 2 * width, (2, 2, 2)),
                _stage(2 * width, 4 * width, (2, 2, 2)),
            ]
        )
        self.dropout = nn.Dropout3d(dropout)

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """(B, 3, T, H, W) -> the two maps by name."""
        if self.difference:
            # The first frame follows itself: nothing has changed yet.
            previous = torch.cat([clip[:, :, :1], clip[:, :, :-1]], 2)
            clip = torch.cat([clip, clip - previous], 1)
        first, second, third = self.stages
        middle = second(first(clip))
        return {"middle": middle, "features": self.dropout(third(middle))}


def _stage(before: int, after: int, stride: tuple[int, int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm3d(after), nn.ReLU(inplace=True)
    )
