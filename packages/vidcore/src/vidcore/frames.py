"""The clips of a batch as one stream takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Frames(NamedTuple):
    """Clips of one stream, side by side.

    A clip is one or several windows of equal length, each of which the extractor reads by itself. Clips of a batch may
    differ in both: a long video has more windows than a short one. Those with fewer frames are padded at the end.

    A tuple, so that whatever moves a batch to a device or casts it (Fabric, DDP) looks inside.

    Attributes:
        video: uint8 (B, T, 3, h, w).
        times: float32 (B, T), frames of each video from its segment's first one; see ``ClipIndices.times``.
        mask: bool (B, T), False where a frame is padding.
        shapes: (windows, frames of each) of every clip.
    """

    video: Tensor
    times: Tensor
    mask: Tensor
    shapes: tuple[tuple[int, int], ...]

    def __repr__(self) -> str:
        """Shapes, never data."""
        return f"Frames({'x'.join(map(str, self.video.shape))}, windows {sorted({k for k, _ in self.shapes})})"

    @classmethod
    def of(cls, video: Tensor, times: Tensor, mask: Tensor, windows: int) -> Frames:
        """One clip, (T, 3, h, w) and (T,)."""
        return cls(video[None], times[None], mask[None], ((windows, len(video) // windows),))

    @classmethod
    def together(cls, parts: Sequence[Frames]) -> Frames:
        """The clips of several as one batch.

        Raises:
            RuntimeError: Frames differ in size.
        """
        longest = max(part.video.shape[1] for part in parts)
        return cls(
            torch.cat([_padded(part.video, longest) for part in parts]),
            torch.cat([_padded(part.times, longest) for part in parts]),
            torch.cat([_padded(part.mask, longest) for part in parts]),
            tuple(shape for part in parts for shape in part.shapes),
        )

    def clips(self, first: int, last: int) -> Frames:
        """The clips ``first`` to ``last`` (half-open); tensors share memory with these."""
        own = slice(first, last)
        return Frames(self.video[own], self.times[own], self.mask[own], self.shapes[own])

    def to(self, device: torch.device) -> Frames:
        """The same on another device."""
        video, times, mask = (part.to(device, non_blocking=True) for part in (self.video, self.times, self.mask))
        return Frames(video, times, mask, self.shapes)

    def alike(self) -> Iterator[tuple[list[int], Frames]]:
        """Clips with equal windows together, without padding: their numbers, and themselves."""
        groups: dict[tuple[int, int], list[int]] = {}
        for number, shape in enumerate(self.shapes):
            groups.setdefault(shape, []).append(number)
        if len(groups) == 1:
            yield list(range(len(self.shapes))), self
            return
        for shape, numbers in groups.items():
            length = shape[0] * shape[1]
            video, times, mask = (part[numbers, :length] for part in (self.video, self.times, self.mask))
            yield numbers, Frames(video, times, mask, (shape,) * len(numbers))


def _padded(tensor: Tensor, length: int) -> Tensor:
    missing = length - tensor.shape[1]
    return F.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, missing)) if missing else tensor
