"""Decoded frames as RGB, and what had to be assumed for it."""

from __future__ import annotations

from pathlib import Path

import av
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from ._failure import DAMAGED, VideoError

# ITU-T H.273, table 4: "unspecified", for which players take ITU-R BT.601.
_UNTAGGED = 2
_MATRICES = {8: "YCgCo", 10: "BT.2020 constant luminance", 11: "ST 2085", 14: "ICtCp"}


class Converter:
    """swscale's bilinear conversion to 8-bit RGB with the colour matrix and range that the frame states.

    A frame with a matrix that swscale lacks is converted as if it stated none, as players do.

    Attributes:
        notes: What was assumed so far, for people.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.notes: list[str] = []
        self._path = path
        self._size = (width, height)
        self._reformatter = VideoReformatter()
        self._lacking: set[int] = set()
        self._checked: set[tuple[object, ...]] = set()

    def rgb(self, frame: VideoFrame) -> VideoFrame:
        """The frame as ``rgb24`` of the size given at the start.

        Raises:
            VideoError: There is no way from its pixel format to RGB.
        """
        matrix = int(frame.colorspace)
        if matrix in self._lacking:
            frame.colorspace = _UNTAGGED
        try:
            return self._converted(frame)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            frame.colorspace = _UNTAGGED
            try:
                converted = self._converted(frame)
            except (av.FFmpegError, ValueError, MemoryError):
                raise VideoError(
                    self._path, "decode", f"its {frame.format.name} frames cannot be converted to RGB: {error}", DAMAGED
                ) from error
        self._lacking.add(matrix)
        name = _MATRICES.get(matrix, "reserved")
        self.notes.append(f"colour matrix {matrix} ({name}) cannot be converted: read as if the file stated none")
        return converted

    def check(self, frame: VideoFrame) -> None:
        """Convert ``frame`` where none like it has been converted; what :meth:`rgb` raises."""
        kind = (frame.format.name, frame.width, frame.height, int(frame.colorspace), int(frame.color_range))
        if kind not in self._checked:
            self._checked.add(kind)
            self.rgb(frame)

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        width, height = self._size
        return self._reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1)
