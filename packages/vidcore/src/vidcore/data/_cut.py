"""Which frames of an open video the clips of several samplings take. Free of torch, as the decoding processes are."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ._failure import VideoError
from ._index import segment_bounds
from .decode import VideoReader
from .sampling import ClipIndices, Sampling

if TYPE_CHECKING:
    from .sampling import Generator


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """Frames to decode, and the clips made of them.

    Attributes:
        wanted: int64 (U,), ascending frames of the whole video, each once.
        clips: For each sampling, indices (clips, T) of the whole video and their masks.
    """

    wanted: NDArray[np.int64]
    clips: list[ClipIndices]

    def places(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where each of ``indices`` stands in ``wanted``."""
        return np.searchsorted(self.wanted, indices)


def plan_cut(
    reader: VideoReader,
    samplings: Sequence[Sampling],
    start_seconds: float | None,
    end_seconds: float | None,
    generator: Generator | None = None,
) -> Cut:
    """Draw the clips of every sampling from a segment; a frame belongs to it when ``start <= its time < end``.

    All samplings draw from the same random numbers, so that windows of different length lie at the same place.

    Raises:
        VideoError: The packets cannot be read, or no frame lies in the segment.
    """
    first, stop, duration = _segment(reader, start_seconds, end_seconds)
    times = reader.times_seconds[first:stop]
    # The last one draws from the generator itself, so that what is drawn after it is new.
    sources = [_copy(generator) for _ in samplings[1:]] + [generator]
    drawn = [sampling.draw(times, duration, source) for sampling, source in zip(samplings, sources, strict=True)]
    clips = [replace(clip, indices=clip.indices + first, first=first) for clip in drawn]
    return Cut(np.unique(np.concatenate([clip.indices.ravel() for clip in clips])), clips)


def _copy(generator: Generator | None) -> Generator | None:
    if generator is None or isinstance(generator, np.random.Generator):
        return copy.deepcopy(generator)
    return generator.clone_state()


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
