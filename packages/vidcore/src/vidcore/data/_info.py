"""What a video file is, without its frames. Free of torch, so that a process that only examines files starts fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ._decoder import FrameDecoder
from ._orientation import Orientation

# Frames whose spacing varies by more than this share of a frame are of variable rate: less is a clock's rounding.
EVEN_SPACING = 0.1


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file is, without its frames.

    ``width`` and ``height`` are pixels after rotation; ``frames`` is the exact number of displayable frames;
    ``fps`` is the average rate; ``rotation`` is in degrees counter-clockwise, already applied to every frame given.
    """

    path: Path
    width: int
    height: int
    frames: int
    fps: float
    duration_seconds: float
    codec: str
    pix_fmt: str
    rotation: int
    variable_rate: bool
    bit_rate: int | None
    container: str


def describe(decoder: FrameDecoder, stored_size: tuple[int, int], orientation: Orientation) -> VideoInfo:
    """Gather what is known about an open stream; ``stored_size`` is (width, height) before rotation."""
    source, table = decoder.source, decoder.table
    width, height = stored_size[::-1] if orientation.swaps_axes else stored_size
    rate = source.stream.average_rate
    gaps = np.diff(table.times_seconds)
    return VideoInfo(
        path=source.path,
        width=width,
        height=height,
        frames=len(table),
        fps=float(rate) if rate else len(table) / table.duration_seconds,
        duration_seconds=table.duration_seconds,
        codec=source.codec,
        pix_fmt=source.decoder.pix_fmt or "unknown",
        rotation=orientation.degrees,
        variable_rate=bool(len(gaps)) and bool(np.ptp(gaps) > EVEN_SPACING * np.median(gaps)),
        bit_rate=source.stream.bit_rate or source.container.bit_rate or None,
        container=source.container.format.name,
    )
