"""Exact, frugal reading of single frames from video files, on PyAV (FFmpeg).

Rules, each tested:

* Frame ``i`` is the i-th frame a full sequential decode displays. Edit lists are honoured: frames a container marks
  as not for display are decoded where others need them, and neither counted nor given.
* Pixels equal those of the sequential decode bit for bit: FFmpeg's decoder, then swscale's bilinear conversion to
  8-bit RGB with the colour matrix and range the stream states.
* The rotation (and mirroring) in the file's display matrix is applied when it is a multiple of 90 degrees. Pixels
  are given as stored: a sample aspect ratio other than 1 stretches nothing, as in OpenCV, decord and torchcodec.
* Where the size changes in mid-stream, every frame is scaled (swscale, bilinear) to the size at the stream's start.
* Times are seconds since the first frame. A clock that restarts goes on one frame after the frame before.
* A file that promises more than it holds, and a wanted frame that does not decode or decodes with errors, raise;
  nothing is replaced or left out.

Frugality: packets are indexed without decoding; decoding starts at the last random access point before a wanted
frame, stops after the last wanted one, and on the way skips pictures nothing refers to.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ._convert import Converter
from ._decoder import FrameDecoder
from ._failure import VideoError
from ._index import ROUNDING_SECONDS
from ._info import VideoInfo, describe
from ._orientation import Orientation
from ._packets import KEEP_BYTES, PacketSource
from .limits import BYTES_PER_PIXEL, CLIP_BYTES

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["VideoError", "VideoInfo", "VideoReader", "probe"]

# glibc's DEFAULT_MMAP_THRESHOLD_MAX.
_KEPT_BYTES = 32 << 20


class VideoReader:
    """Frames of one video by index, exactly and with no more decoding than needed.

    ::

        with VideoReader("clip.mp4") as video:
            frames = video.read([0, 40, 80])  # uint8 (3, 3, H, W)

    A reader is for one thread. Opening reads the header only; the first question about frames reads the packets.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1, keep_bytes: int = KEEP_BYTES) -> None:
        """Open ``path``.

        Args:
            path: A video file that FFmpeg knows.
            threads: Decoder threads. One is the most frugal, and right where several workers decode at once.
            keep_bytes: Packets of streams up to this size stay in memory; larger files are read again by seeking.

        Raises:
            VideoError: The file cannot be opened as a video.
        """
        self.path = Path(path)
        self._source = self._open(keep_bytes)
        self._stored_size = (self._source.decoder.width, self._source.decoder.height)
        self._decoder = FrameDecoder(self._source, threads)
        self._converter = Converter(self.path, *self._stored_size)
        self._orientation: Orientation | None = None

    def __enter__(self) -> Self:
        """Return the reader itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; the reader cannot be used afterwards."""
        self._source.close()

    def __len__(self) -> int:
        """Count the displayable frames, exactly."""
        return len(self._decoder.table)

    def __repr__(self) -> str:
        """Name the file and, once known, its length."""
        length = f"{len(self)} frames" if self._decoder.indexed else "not indexed"
        return f"VideoReader({str(self.path)!r}, {length})"

    @property
    def frames_decoded(self) -> int:
        """Frames the codec has reconstructed so far, wanted or not: the measure of frugality."""
        return self._decoder.frames_decoded

    @property
    def times_seconds(self) -> NDArray[np.float64]:
        """Presentation times (T,) in seconds from the first frame."""
        return self._decoder.table.times_seconds

    @property
    def duration_seconds(self) -> float:
        """Seconds from the first frame's start to the last one's end."""
        return self._decoder.table.duration_seconds

    def indices_at(self, times_seconds: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
        """Index of the frame shown at each time: the last one that starts at or before it, within the video."""
        moments = np.asarray(times_seconds, dtype=np.float64) + ROUNDING_SECONDS
        at = np.searchsorted(self.times_seconds, moments, side="right") - 1
        return np.clip(at, 0, len(self) - 1).astype(np.int64)

    def read(self, indices: Iterable[int]) -> Tensor:
        """Frames at ``indices`` (any order, repeats allowed; negative counts from the end).

        Returns:
            Tensor: uint8 (T, 3, H, W), RGB. In memory the channels lie last, as decoders write them; ``.contiguous()``
                where that matters.

        Raises:
            VideoError: An index the video does not have; a wanted frame that does not decode, or decodes with errors.
        """
        import torch

        wanted = self._checked(indices)
        places: dict[int, list[int]] = {}
        for place, index in enumerate(wanted):
            places.setdefault(index, []).append(place)
        rows: NDArray[np.uint8] | None = None
        for index, pixels in self.pixels(places):
            if rows is None:
                self._check_memory(len(wanted), *pixels.shape[:2])
                rows = _memory((len(wanted), *pixels.shape))
            for place in places[index]:
                rows[place] = pixels
        if rows is None:
            width, height = self.size
            rows = _memory((0, height, width, 3))
        return torch.from_numpy(rows).permute(0, 3, 1, 2)

    def frames(self, indices: Iterable[int] | None = None) -> Iterator[tuple[int, Tensor]]:
        """``(index, uint8 (3, H, W))`` one by one in presentation order, each once; all frames where none are named.

        For videos that do not fit in memory. Raises as :meth:`read`.
        """
        import torch

        for index, pixels in self.pixels(indices):
            yield index, torch.from_numpy(pixels.copy()).permute(2, 0, 1)

    def pixels(self, indices: Iterable[int] | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """``(index, uint8 (H, W, 3))`` as :meth:`frames`, without torch; the array holds until the next one is asked.

        A process that only decodes starts in a tenth of the time that importing torch takes.
        """
        wanted = range(len(self)) if indices is None else sorted(set(self._checked(indices)))
        for index, frame in self._decoder.frames(wanted):
            yield index, self._rgb(frame)

    def verify(self) -> int:
        """Decode every frame, convert one of each kind, compare checksums where the container has them.

        Returns:
            int: The number of frames.

        Raises:
            VideoError: Any frame does not decode, decodes with errors or cannot be converted; a checksum differs.
        """
        for _, frame in self._decoder.frames(range(len(self))):
            self._converter.check(frame)
        self._source.check_sums()
        return len(self)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the frames given, after rotation."""
        width, height = self._stored_size
        return (height, width) if self.orientation.swaps_axes else (width, height)

    @property
    def orientation(self) -> Orientation:
        """How stored frames are turned for display. The first use decodes one frame where none was decoded yet."""
        if self._orientation is None:
            frame = next(self._decoder.frames([0]))[1]
            self._converter.check(frame)
            self._orientation = Orientation.of(frame)
        return self._orientation

    def info(self) -> VideoInfo:
        """Everything known about the file; see :class:`VideoInfo`."""
        return describe(self._decoder, self._stored_size, self.orientation, self._converter.notes)

    def _open(self, keep_bytes: int) -> PacketSource:
        return PacketSource(self.path, keep_bytes)

    def _checked(self, indices: Iterable[int]) -> list[int]:
        total = len(self)
        wanted = [int(index) for index in indices]
        for index in wanted:
            if not -total <= index < total:
                raise VideoError(
                    self.path, "read", f"there is no frame {index}; it has {total} frames, 0 to {total - 1}",
                    "sample within the video: the samplers of vidcore.data.sampling always do",
                )  # fmt: skip
        return [index % total for index in wanted]

    def _check_memory(self, frames: int, height: int, width: int) -> None:
        needed = frames * width * height * BYTES_PER_PIXEL
        if needed > CLIP_BYTES.value:
            raise VideoError(
                self.path, "read",
                f"{frames:,} frames of {width}x{height} take {needed / 2**30:,.1f} GiB; at most "
                f"{CLIP_BYTES.value / 2**30:,.1f} GiB are read at once",
                "read fewer at once, or one by one with VideoReader.frames(); " + CLIP_BYTES.advice(needed),
            )  # fmt: skip

    def _rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        width, height = self._stored_size
        rgb = self._converter.rgb(frame)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)[:height, : width * 3]
        if self._orientation is None:
            self._orientation = Orientation.of(frame)
        return self._orientation.apply(rows.reshape(height, width, 3))


def _memory(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Memory for a clip. New pages, which the system clears one by one, would cost up to a fifth of decoding.

    glibc keeps freed blocks of up to 32 MiB, and torch takes them from there. Larger ones are new for every clip; those
    come from numpy, which asks for huge pages. For smaller ones it would, too, and get them cleared anew every time.
    """
    import torch

    if math.prod(shape) > _KEPT_BYTES:
        return np.empty(shape, np.uint8)
    rows: NDArray[np.uint8] = torch.empty(shape, dtype=torch.uint8).numpy()
    return rows


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Read what a video is: one pass over its packets and one decoded frame.

    Raises:
        VideoError: The file is not a readable video; see :class:`VideoReader`.
    """
    with VideoReader(path) as reader:
        return reader.info()
