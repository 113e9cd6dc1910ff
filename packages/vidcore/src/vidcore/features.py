"""FeatureMap, the one carrier that crosses every border after the extractor, and what a readout makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vidcore.errors import ShapeError


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FeatureMap:
    """Features on a grid of time, rows and columns.

    data    (B, D, T', H', W')
    times   (T',) or (B, T'): centre of each step, in frames of the video, from the first one of the row's segment;
            so they can be compared between streams that saw other frames of it. Of frames given by hand: 0, 1, 2, ...
    mask    (B, T') bool, True where a step shows real frames; ``None``: all do

    A pooled feature is a map with H' = W' = 1.

    Raises:
        ShapeError: the three tensors do not fit together.
    """

    data: Tensor
    times: Tensor
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if self.data.dim() != 5:
            raise ShapeError(f"FeatureMap.data must be (B, D, T, H, W); got {tuple(self.data.shape)}")
        batch, steps = self.data.shape[0], self.data.shape[2]
        if tuple(self.times.shape) not in {(steps,), (batch, steps)}:
            raise ShapeError(
                f"FeatureMap.times must be ({steps},) or ({batch}, {steps}); got {tuple(self.times.shape)}"
            )
        if self.mask is not None and tuple(self.mask.shape) != (batch, steps):
            raise ShapeError(f"FeatureMap.mask must be ({batch}, {steps}); got {tuple(self.mask.shape)}")

    def __repr__(self) -> str:
        batch, dim, steps, rows, columns = self.data.shape
        masked = "" if self.mask is None else ", masked"
        return (
            f"FeatureMap(B={batch}, D={dim}, T={steps}, H={rows}, W={columns}, "
            f"{str(self.data.dtype).removeprefix('torch.')}, {self.data.device}{masked})"
        )

    @property
    def dim(self) -> int:
        """Channel count D."""
        return self.data.shape[1]

    @property
    def steps(self) -> int:
        """Number of time steps T'."""
        return self.data.shape[2]

    @property
    def temporal_stride(self) -> float:
        """Mean distance of two steps, in input frames; 0 where there is a single step."""
        if self.steps < 2:
            return 0.0
        first, last = self.times[..., 0], self.times[..., -1]
        return float(((last - first) / (self.steps - 1)).mean())

    def sequence(self) -> Tensor:
        """One vector per step, the spatial mean: (B, T', D)."""
        # Of a pooled map there is nothing to average: a twentieth of the time of training a small head on one.
        mean = self.data[..., 0, 0] if self._is_pooled else self.data.mean((3, 4))
        return mean.transpose(1, 2)

    def tokens(self) -> Tensor:
        """Every grid cell as a token, time-major: (B, T'*H'*W', D)."""
        return self.data.flatten(2).transpose(1, 2)

    def readable(self) -> Tensor | None:
        """``mask``, all True in rows that are padding only: nothing has no mean, no maximum and no softmax."""
        return None if self.mask is None else self.mask | ~self.mask.any(1, keepdim=True)

    def pooled(self) -> FeatureMap:
        """The same steps with H' = W' = 1 (spatial mean)."""
        return self if self._is_pooled else replace(self, data=self.data.mean((3, 4), keepdim=True))

    @property
    def _is_pooled(self) -> bool:
        return self.data.shape[3:] == (1, 1)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None, *, non_blocking: bool = False
    ) -> FeatureMap:
        """``data`` moved or cast; ``times`` and ``mask`` follow the device and keep their types."""
        data = self.data.to(device, dtype, non_blocking=non_blocking)
        mask = None if self.mask is None else self.mask.to(data.device, non_blocking=non_blocking)
        return FeatureMap(data, self.times.to(data.device, non_blocking=non_blocking), mask)

    def detach(self) -> FeatureMap:
        """The same map, cut from the graph."""
        return replace(self, data=self.data.detach())

    def at(self, times: Tensor, mode: Literal["linear", "previous"] = "linear") -> FeatureMap:
        """Resample in time to ``times`` (T,) or (B, T), in the unit of ``self.times``.

        ``linear`` interpolates between the two neighbouring steps; ``previous`` takes the last step
        at or before each time, so that a causal map stays causal. Outside the range of the map
        the first or last real step is held. A resampled step is real where its nearest step is.
        """
        asked = times.to(self.data.device, torch.float32)
        per_row = asked.dim() == 2 or self.times.dim() == 2 or self.mask is not None
        grid = self.times.to(torch.float32)
        if per_row:
            asked = asked.expand(self.data.shape[0], -1).contiguous()
            grid = grid.expand(self.data.shape[0], -1).contiguous()
        right = torch.searchsorted(grid, asked, right=True).clamp(1, max(self.steps - 1, 1))
        left = (right - 1).clamp(max=self.steps - 1)
        right = right.clamp(max=self.steps - 1)
        mask = None
        if self.mask is not None:
            near = _weight(grid, asked, left, right, mode) > 0.5
            mask = self.mask.gather(1, torch.where(near, right, left))
            # Of padding there is nothing to interpolate.
            left, right = (_real_at(self.mask, place) for place in (left, right))
        weight = _weight(grid, asked, left, right, mode)
        data = torch.lerp(self._take(left), self._take(right), _over_steps(weight, self.data))
        return FeatureMap(data, times.to(self.data.device), mask)

    def _take(self, index: Tensor) -> Tensor:
        if index.dim() == 1:
            return self.data.index_select(2, index)
        batch, dim, _, rows, columns = self.data.shape
        return self.data.gather(2, index[:, None, :, None, None].expand(batch, dim, -1, rows, columns))


def _weight(grid: Tensor, asked: Tensor, left: Tensor, right: Tensor, mode: str) -> Tensor:
    """How much of ``right`` and how little of ``left`` each time takes, between 0 and 1."""
    start, end = grid.gather(-1, left), grid.gather(-1, right)
    weight = ((asked - start) / (end - start).clamp(min=1e-12)).clamp(0, 1)
    if mode == "previous":
        weight = (weight >= 1).to(weight.dtype)
    return torch.where(right == left, torch.zeros_like(weight), weight)


def _real_at(mask: Tensor, place: Tensor) -> Tensor:
    """The last real step at or before each place (B, T); the first real one where there is none before."""
    steps = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    last = torch.where(mask, steps, -torch.ones_like(steps)).cummax(1).values
    first = torch.where(mask.any(1, keepdim=True), mask.to(torch.uint8).argmax(1, keepdim=True), place)
    found = last.gather(1, place)
    return torch.where(found < 0, first, found)


def _over_steps(weight: Tensor, like: Tensor) -> Tensor:
    shape = (-1, 1, weight.shape[-1], 1, 1) if weight.dim() == 2 else (1, 1, -1, 1, 1)
    return weight.to(like.dtype).reshape(shape)


def joined(maps: Sequence[FeatureMap]) -> FeatureMap:
    """The clips of several maps as one; shorter ones are padded with steps that are not real, whose times continue."""
    steps = max(fmap.steps for fmap in maps)
    same_times = all(fmap.times is maps[0].times or torch.equal(fmap.times, maps[0].times) for fmap in maps)
    if len(maps) == 1 or (same_times and maps[0].times.dim() == 1 and all(fmap.mask is None for fmap in maps)):
        return FeatureMap(torch.cat([fmap.data for fmap in maps]), maps[0].times, maps[0].mask)
    times = torch.cat([_prolonged(fmap, steps) for fmap in maps])
    short = ((fmap.data, steps - fmap.steps) for fmap in maps)
    data = torch.cat([F.pad(part, (0, 0, 0, 0, 0, lacking)) if lacking else part for part, lacking in short])
    if all(fmap.mask is None and fmap.steps == steps for fmap in maps):
        return FeatureMap(data, times)
    masks = [torch.ones(len(m.data), m.steps, dtype=torch.bool, device=m.data.device) if m.mask is None else m.mask
             for m in maps]  # fmt: skip
    return FeatureMap(data, times, torch.cat([F.pad(mask, (0, steps - mask.shape[1])) for mask in masks]))


def _prolonged(fmap: FeatureMap, steps: int) -> Tensor:
    times = fmap.times.to(torch.float32).expand(len(fmap.data), -1)
    pace = (times[:, -1:] - times[:, :1]) / max(fmap.steps - 1, 1) if fmap.steps > 1 else torch.ones_like(times)
    beyond = torch.arange(1, steps - fmap.steps + 1, device=times.device)
    return torch.cat([times, times[:, -1:] + pace * beyond], 1)


def sinusoid(positions: Tensor, width: int) -> Tensor:
    """Sinusoidal encoding of positions of any unit, (...) -> (..., width) float32, sines first.

    Wavelengths grow from 2 pi to nearly 10,000 times that (Vaswani et al. 2017, arXiv:1706.03762).
    """
    half = -(-width // 2)
    rate = torch.exp(torch.arange(half, device=positions.device) * (-math.log(10_000.0) / half))
    angle = positions.to(torch.float32)[..., None] * rate
    return torch.cat([angle.sin(), angle.cos()], -1)[..., :width]


@dataclass(frozen=True, slots=True)
class ReadoutInfo:
    """Shape of what a readout gives: (B, dim), or (B, T, dim) where ``per_step``."""

    dim: int
    per_step: bool = False
