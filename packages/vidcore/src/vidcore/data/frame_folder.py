"""Folders of frame images, read as videos.

* Images are in the order of the numbers in their names (``img_2.jpg`` before ``img_10.jpg``). Optical flow beside them
  (``flow_x_00001.jpg``, ``flow_y_...``), as denseflow and MMAction2 leave it, is not part of the video.
* Frame ``i`` is shown at ``i / fps`` seconds; a folder has no frame rate, so it must be stated.
* Pixels are those of Pillow (libjpeg-turbo), turned as the image's EXIF orientation says, in 8-bit RGB.
* An image that does not decode, or has another size than the first, raises; nothing is replaced or left out.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ._failure import DAMAGED, VideoError
from ._folder import IMAGE_SUFFIXES, is_frame
from ._info import VideoInfo
from ._orientation import Orientation
from .decode import VideoReader

_NO_RATE = "state it: data.options.fps=25, or a column 'fps' in the manifest"
_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})
_DIGITS = re.compile(r"(\d+)")


def open_video(path: str | os.PathLike[str], *, fps: float | None = None, threads: int = 1) -> VideoReader:
    """A reader of a video file, or of a folder of frame images.

    Args:
        path: The file or folder.
        fps: Frames per second of a folder; a file states its own.
        threads: Decoder threads.

    Raises:
        VideoError: It cannot be opened as a video, or the frame rate of a folder is missing.
    """
    return FrameFolder(path, fps) if os.path.isdir(path) else VideoReader(path, threads=threads)  # noqa: PTH112


class FrameFolder(VideoReader):
    """A :class:`VideoReader` of a folder of images.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float | None) -> None:
        """List the images; none is opened.

        Args:
            path: The folder.
            fps: Frames per second.

        Raises:
            VideoError: There is no image in it, or no frame rate.
        """
        self.path = Path(path)
        if fps is None:
            raise VideoError(self.path, "open", "a folder of frame images has no frame rate", _NO_RATE)
        self.fps = fps
        self._files = frame_files(self.path)
        self._decoded = 0
        self._size: tuple[int, int] | None = None

    def close(self) -> None:
        """Nothing is kept open."""

    def __len__(self) -> int:
        """Count the images."""
        return len(self._files)

    def __repr__(self) -> str:
        """Name the folder and its length."""
        return f"FrameFolder({str(self.path)!r}, {len(self)} frames, {self.fps:g} fps)"

    @property
    def frames_decoded(self) -> int:
        """Images decoded so far."""
        return self._decoded

    @property
    def times_seconds(self) -> NDArray[np.float64]:
        """Presentation times (T,) in seconds: ``i / fps``."""
        return np.arange(len(self)) / self.fps

    @property
    def duration_seconds(self) -> float:
        """Seconds from the first frame's start to the last one's end."""
        return len(self) / self.fps

    def pixels(self, indices: Iterable[int] | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """As :meth:`VideoReader.pixels`."""
        for index in range(len(self)) if indices is None else sorted(set(self._checked(indices))):
            yield index, self._image(index)

    def verify(self) -> int:
        """Decode every image, and return their number.

        Raises:
            VideoError: An image does not decode, or has another size.
        """
        return sum(1 for _ in self.pixels())

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels. The first use decodes one image where none was decoded yet."""
        if self._size is None:
            self._image(0)
        return self._size or (0, 0)

    @property
    def orientation(self) -> Orientation:
        """None: images are turned when they are read."""
        return Orientation()

    def info(self) -> VideoInfo:
        """Everything known about the folder; see :class:`VideoInfo`."""
        width, height = self.size
        return VideoInfo(
            path=self.path,
            width=width,
            height=height,
            frames=len(self),
            fps=self.fps,
            duration_seconds=self.duration_seconds,
            codec=self._files[0].suffix.lower().removeprefix("."),
            pix_fmt="rgb24",
            rotation=0,
            variable_rate=False,
            bit_rate=None,
            container="frame images",
        )

    def _image(self, index: int) -> NDArray[np.uint8]:
        file = self._files[index]
        try:
            with Image.open(file) as image:
                if image.mode not in _MODES:
                    raise VideoError(
                        self.path, "decode", f"{file.name} has pixels of the kind {image.mode!r}, not 8-bit colours",
                        "convert the images to 8-bit JPEG or PNG",
                    )  # fmt: skip
                pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except UnidentifiedImageError as error:
            raise VideoError(self.path, "decode", f"{file.name} is not an image Pillow knows", DAMAGED) from error
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(self.path, "decode", f"{file.name}: {error}", DAMAGED) from error
        self._decoded += 1
        size = (pixels.shape[1], pixels.shape[0])
        if self._size is None and index == 0:
            self._size = size
        if size != self.size:
            raise VideoError(
                self.path, "decode", f"{file.name} is {size[0]}x{size[1]}, the first image {self.size[0]}x"
                f"{self.size[1]}", "bring all images of a folder to one size",
            )  # fmt: skip
        return pixels


def frame_files(folder: Path) -> list[Path]:
    """The images of a folder, in the order of the numbers in their names.

    Raises:
        VideoError: The folder cannot be listed, or holds no image.
    """
    try:
        names = [file.name for file in folder.iterdir() if is_frame(file.name)]
    except OSError as error:
        raise VideoError(folder, "open", error.strerror or str(error), "give a folder of frame images") from error
    if not names:
        raise VideoError(
            folder, "open", "it is a folder without frame images, not a video file",
            f"give a video file, or a folder of images ({' '.join(sorted(IMAGE_SUFFIXES))})",
        )  # fmt: skip
    return [folder / name for name in sorted(names, key=_natural)]


def folder_state(folder: Path) -> tuple[int, int, int]:
    """Bytes of all frames, time of the last change in nanoseconds and the folder's inode: another where one changed.

    Raises:
        VideoError: As :func:`frame_files`.
        OSError: An image cannot be looked at.
    """
    own = folder.stat()
    states = [file.stat() for file in frame_files(folder)]
    return sum(s.st_size for s in states), max(own.st_mtime_ns, *(s.st_mtime_ns for s in states)), own.st_ino


def folder_sha256(folder: Path) -> str:
    """SHA-256 over the contents of the frames in their order; the names do not count.

    Raises:
        VideoError: As :func:`frame_files`.
        OSError: An image cannot be read.
    """
    digest = hashlib.sha256(b"frame images")
    for file in frame_files(folder):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Numbers by their value, the rest by its letters; names of equal numbers by themselves."""
    parts = _DIGITS.split(name)
    # Text and numbers alternate, so that a number is never compared with text.
    return [(int(part[:18]), "") if place % 2 else (0, part) for place, part in enumerate(parts)], name
