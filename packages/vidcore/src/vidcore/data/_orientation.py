"""How a stored frame is turned and mirrored for display."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Orientation:
    """A symmetry of the rectangle: transpose first, then mirror; the identity by default.

    FFmpeg's display matrix sends stored (x, y) to (a x + c y, b x + d y) in 16.16 fixed point. Where it only swaps
    and negates axes it is one of eight symmetries; any other (an odd angle, a shear) is left unapplied, as players do.
    """

    swaps_axes: bool = False
    mirrors_x: bool = False
    mirrors_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """Orientation a decoded frame's display matrix asks for."""
        data = cast("SideData | None", frame.side_data.get(cast("Any", Type.DISPLAYMATRIX)))
        if data is None:
            return cls()
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
        if b == c == 0 and a and d:
            return cls(False, a < 0, d < 0)
        if a == d == 0 and b and c:
            return cls(True, c < 0, b < 0)
        return cls()

    @property
    def degrees(self) -> int:
        """Counter-clockwise turn in degrees, mirroring aside."""
        if self.swaps_axes:
            return 90 if self.mirrors_y else 270
        return 180 if self.mirrors_x and self.mirrors_y else 0

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn (H, W, C) into display orientation; a view."""
        if self.swaps_axes:
            pixels = pixels.swapaxes(0, 1)
        if self.mirrors_x:
            pixels = pixels[:, ::-1]
        return pixels[::-1] if self.mirrors_y else pixels
