"""What a video file is, without its frames. Free of torch, so that a process that only examines files starts fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._decoder import FrameDecoder
from ._index import FrameTable
from ._orientation import Orientation

# Frames whose spacing varies by more than this share of a frame are of variable rate: less is a clock's rounding.
EVEN_SPACING = 0.1
# Where a frame lasts fewer ticks of the container's clock, rounding and missing frames look alike.
FINE_CLOCK = 1.9
# How far the average of rounded times may be from the rate that they were made of.
SAME_RATE = 0.02


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file is, without its frames.

    ``width`` and ``height`` are pixels after rotation; ``frames`` is the exact number of displayable frames;
    ``fps`` is the average rate; ``rotation`` is in degrees counter-clockwise, already applied to every frame given;
    ``notes`` say what was assumed to read it.
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
    notes: tuple[str, ...] = ()


def describe(
    decoder: FrameDecoder, stored_size: tuple[int, int], orientation: Orientation, notes: Sequence[str] = ()
) -> VideoInfo:
    """Gather what is known about an open stream; ``stored_size`` is (width, height) before rotation."""
    source, table = decoder.source, decoder.table
    width, height = stored_size[::-1] if orientation.swaps_axes else stored_size
    tick = float(source.stream.time_base or 0)
    return VideoInfo(
        path=source.path,
        width=width,
        height=height,
        frames=len(table),
        fps=_average_rate(table, source.stream.average_rate),
        duration_seconds=table.duration_seconds,
        codec=source.codec,
        pix_fmt=source.decoder.pix_fmt or "unknown",
        rotation=orientation.degrees,
        variable_rate=_varies(table.times_seconds, tick),
        bit_rate=source.stream.bit_rate or source.container.bit_rate or None,
        container=source.container.format.name,
        notes=tuple(notes),
    )


def _average_rate(table: FrameTable, declared: Fraction | None) -> float:
    """Frames a second by the frames' times; as declared where the two agree, because times are rounded."""
    elapsed = float(table.times_seconds[-1])
    measured = (len(table) - 1) / elapsed if elapsed > 0 else 1 / (table.last_duration_seconds or 1.0)
    if declared and abs(float(declared) / measured - 1) < SAME_RATE:
        return float(declared)
    return measured


def _varies(times: NDArray[np.float64], tick: float) -> bool:
    """Whether frames are unevenly spaced by more than the rounding to the container's clock."""
    gaps = np.diff(times)
    if not len(gaps) or np.ptp(gaps) <= EVEN_SPACING * np.median(gaps):
        return False
    if np.median(gaps) < FINE_CLOCK * tick:
        return True
    even = np.linspace(times[0], times[-1], len(times))
    return bool(np.abs(times - even).max() > tick)
