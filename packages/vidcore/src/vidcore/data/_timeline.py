"""Where the frames of a segment lie in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Frame times within this share of a frame of an even grid are those of a constant rate (containers round them).
_JITTER = 0.1
# Positions are sums of products: half a microsecond of time, a thousandth of a frame.
ROUNDING = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """A segment in units in which moments are placed: its frames where they follow each other evenly, else seconds.

    step    one frame of the published rate
    frame   one frame of the video, in the mean
    total   the whole segment
    times   when each frame starts; ``None``: the units are frames
    """

    step: float
    frame: float
    total: float
    times: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, times: NDArray[np.float64], duration: float, fps: float | None) -> Timeline:
        """That of frames which start at ``times`` (N,) seconds, seen at ``fps``; ``None``: frame by frame."""
        total, since = len(times), times - times[0]
        period = float(since[-1]) / (total - 1) if total > 1 else 0.0
        if fps is None or period <= 0:
            return cls(1.0, 1.0, float(total))
        if np.abs(since - period * np.arange(total)).max() < _JITTER * period:
            return cls(1 / (fps * period), 1.0, float(total))
        return cls(1 / fps, duration / total, duration, since)

    def shown(self, moments: NDArray[np.float64]) -> NDArray[np.int64]:
        """The frame on view at each moment; at the end and after it, the number of frames or more."""
        if self.times is None:
            return np.floor(moments + ROUNDING).astype(np.int64)
        return np.searchsorted(self.times, moments + 5e-7, side="right").astype(np.int64) - 1
