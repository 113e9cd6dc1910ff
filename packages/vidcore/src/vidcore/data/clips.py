"""A clip: frames cut from one video by a sampling rule, and what is known about them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidcore.errors import ConfigError

from ._cut import Cut, plan_cut
from ._rows import Row
from .decode import VideoReader
from .frame_folder import open_video
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
        times: float32 (T,), frames of the video from the segment's first one; see ``ClipIndices.times``.
        windows: T is so many windows of equal length, each of which an extractor reads by itself.
    """

    frames: Tensor
    indices: Tensor
    times_seconds: Tensor
    mask: Tensor
    path: Path
    times: Tensor
    windows: int = 1

    def __repr__(self) -> str:
        """Shapes, never data."""
        return f"Clip({self.path.name}, frames {tuple(self.frames.shape)}, {int(self.mask.sum())} real)"


def read_clip(
    row: Row | str | os.PathLike[str],
    sampling: Sampling | None = None,
    *,
    generator: Generator | None = None,
    threads: int = 1,
) -> Clip:
    """Read the one clip that ``sampling`` cuts from ``row``'s segment, or from a whole video given by path.

    Without a sampling it takes 16 frames, the centres of equal parts of the segment. ``clip.frames[None]`` is the
    batch that an extractor takes.

    Raises:
        ConfigError: The sampling cuts several clips; use :func:`read_clips`.
        VideoError: The video cannot be read, or no frame lies in the segment.
    """
    sampling = sampling or Sampling()
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
    with open_video(row.video, fps=row.fps, threads=threads) as reader:
        return cut_clips(
            reader, samplings, start_seconds=row.start_seconds, end_seconds=row.end_seconds, generator=generator
        )


def read_cut(
    row: Row, samplings: Sequence[Sampling], *, generator: Generator | None = None, threads: int = 1
) -> tuple[Tensor, Cut]:
    """Every frame that some sampling wants, once, uint8 (U, 3, H, W); and which of them make the clips of each.

    Raises:
        VideoError: The video cannot be read, or no frame lies in the segment.
    """
    with open_video(row.video, fps=row.fps, threads=threads) as reader:
        cut = plan_cut(reader, samplings, row.start_seconds, row.end_seconds, generator)
        return reader.read(cut.wanted), cut


def cut_clips(
    reader: VideoReader,
    samplings: Sequence[Sampling],
    *,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    generator: Generator | None = None,
) -> list[list[Clip]]:
    """Cut clips from an open video; a frame belongs to the segment when ``start <= its time < end``. See read_clips."""
    cut = plan_cut(reader, samplings, start_seconds, end_seconds, generator)
    times = reader.times_seconds
    frames = reader.read(cut.wanted)
    # One index operation a clip: the frames of all samplings are held once and copied into each.
    return [
        [
            Clip(
                frames=frames[torch.from_numpy(cut.places(indices))],
                indices=torch.from_numpy(indices),
                times_seconds=torch.from_numpy(times[indices]),
                mask=torch.from_numpy(mask),
                path=reader.path,
                times=torch.from_numpy(moments),
                windows=clips.windows,
            )
            for indices, mask, moments in zip(clips.indices, clips.mask, clips.times, strict=True)
        ]
        for clips in cut.clips
    ]
