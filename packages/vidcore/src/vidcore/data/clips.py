"""A clip: frames cut from one video by a sampling rule, and what is known about them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vidcore.errors import ConfigError

from ._failure import VideoError
from ._index import segment_bounds
from ._rows import Row
from .decode import VideoReader
from .sampling import Sampling

if TYPE_CHECKING:
    from .sampling import Generator


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """Frames of one clip with their places in the video.

    Attributes:
        frames: uint8 (T, 3, H, W), RGB.
        indices: int64 (T,), the frame of the *whole* video at each step.
        times_seconds: float64 (T,), when each frame starts, from the first frame of the whole video.
        mask: bool (T,), False where the video was too short and a frame is repeated.
        path: The video.
    """

    frames: Tensor
    indices: Tensor
    times_seconds: Tensor
    mask: Tensor
    path: Path

    def __repr__(self) -> str:
        """Shapes, never data."""
        return f"Clip({self.path.name}, frames {tuple(self.frames.shape)}, {int(self.mask.sum())} real)"


def read_clip(
    row: Row | str | os.PathLike[str], sampling: Sampling, *, generator: Generator | None = None, threads: int = 1
) -> Clip:
    """Read the one clip that ``sampling`` cuts from ``row``'s segment, or from a whole video given by path.

    Raises:
        ConfigError: The sampling cuts several clips; use :func:`read_clips`.
        VideoError: The video cannot be read, or no frame lies in the segment.
    """
    if sampling.clips != 1:
        raise ConfigError(f"this sampling cuts {sampling.clips} clips and one is wanted; use read_clips")
    return read_clips(row, [sampling], generator=generator, threads=threads)[0][0]


def read_clips(
    row: Row | str | os.PathLike[str],
    samplings: Sequence[Sampling],
    *,
    generator: Generator | None = None,
    threads: int = 1,
) -> list[list[Clip]]:
    """Read the clips of several samplings from one video, decoding every frame at most once.

    Returns:
        list of list of Clip: For each sampling, its ``sampling.clips`` clips.

    Raises:
        VideoError: The video cannot be read, or no frame lies in the segment.
    """
    row = row if isinstance(row, Row) else Row(Path(row))
    with VideoReader(row.video, threads=threads) as reader:
        return cut_clips(
            reader, samplings, start_seconds=row.start_seconds, end_seconds=row.end_seconds, generator=generator
        )


def cut_clips(
    reader: VideoReader,
    samplings: Sequence[Sampling],
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    generator: Generator | None = None,
) -> list[list[Clip]]:
    """Cut clips from an open video; a frame belongs to the segment when ``start <= its time < end``. See read_clips."""
    first, stop, duration = _segment(reader, start_seconds, end_seconds)
    times = reader.times_seconds
    drawn = [sampling.draw(times[first:stop], duration, generator) for sampling in samplings]
    wanted = np.unique(np.concatenate([clip.indices.ravel() for clip in drawn])) + first
    frames = reader.read(wanted)
    # One index operation a clip: the frames of all samplings are held once and copied into each.
    return [
        [
            Clip(
                frames=frames[torch.from_numpy(np.searchsorted(wanted, indices + first))],
                indices=torch.from_numpy(indices + first),
                times_seconds=torch.from_numpy(times[indices + first]),
                mask=torch.from_numpy(mask),
                path=reader.path,
            )
            for indices, mask in zip(clips.indices, clips.mask, strict=True)
        ]
        for clips in drawn
    ]


def _segment(reader: VideoReader, start: float | None, end: float | None) -> tuple[int, int, float]:
    """First frame, the one after the last, and the seconds between the first one's start and the last one's end."""
    times = reader.times_seconds
    first, stop = segment_bounds(times, start, end)
    if stop <= first:
        raise VideoError(
            reader.path, "read",
            f"no frame lies from {start or 0:g} s to {end if end is not None else reader.duration_seconds:g} s; "
            f"the video lasts {reader.duration_seconds:.3f} s",
            "correct start_seconds and end_seconds in the manifest (seconds from the first frame, end excluded)",
        )  # fmt: skip
    last_end = float(times[stop]) if stop < len(times) else reader.duration_seconds
    return first, stop, last_end - float(times[first])
