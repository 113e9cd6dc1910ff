"""Decoding on a GPU's own decoder, with the pixels of the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ._failure import VideoError
from ._hardware import Planes, hold_context
from ._packets import PacketSource
from .decode import VideoInfo, VideoReader

Kind = tuple[str, str | None]


class Nvdec:
    """NVDEC for a process that decodes many videos.

    Codecs state every pixel, and the conversion to RGB stays FFmpeg's, so a video decoded here should equal the same
    video decoded on the CPU bit for bit, and features must not depend on where it was. Whether it does is seen on the
    first clip of each kind of stream (codec and profile): both decode it. Kinds that differ, and those the GPU does not
    know, are decoded on the CPU, and ``NvdecReader.left_to_cpu`` says why.

    What it cannot do is tell damage: NVDEC hides it where FFmpeg's decoders report it. Packets that are missing or cut
    short are still found.

    Args:
        gpu: Number of the GPU, as CUDA counts.

    Raises:
        ConfigError: It has no decoder that can be used here.
    """

    def __init__(self, gpu: int) -> None:
        self.gpu = gpu
        self.refused: dict[Kind, str] = {}
        self.trusted: set[Kind] = set()
        self._context = hold_context(gpu)

    def open(self, path: str | os.PathLike[str]) -> NvdecReader:
        """A reader of one video.

        Raises:
            VideoError: As ``VideoReader``.
        """
        return NvdecReader(path, self)


class NvdecReader(VideoReader):
    """A :class:`VideoReader` that decodes on a GPU where its pixels are those of the CPU; from :class:`Nvdec`.

    Attributes:
        left_to_cpu: Why the frames given last were decoded on the CPU; ``None``: they were not.
    """

    def __init__(self, path: str | os.PathLike[str], nvdec: Nvdec) -> None:
        self._nvdec = nvdec
        super().__init__(path)
        self._planes = Planes()
        self.left_to_cpu: str | None = None

    @property
    def has_accelerator(self) -> bool:
        """Whether the GPU has a decoder for this codec."""
        return self._source.decoder.is_hwaccel

    def pixels(self, indices: Iterable[int] | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """As :meth:`VideoReader.pixels`."""
        wanted = range(len(self)) if indices is None else sorted(set(self._checked(indices)))
        if not wanted:
            # Nothing to learn from.
            return iter(())
        kind = self._kind()
        if not self.has_accelerator:
            self.left_to_cpu = f"{_in_words(kind)}: the GPU does not decode it"
            return super().pixels(wanted)
        if kind in self._nvdec.refused:
            self.left_to_cpu = self._nvdec.refused[kind]
            return self._on_cpu(wanted)
        self.left_to_cpu = None
        return self._trusting(kind, wanted) if kind in self._nvdec.trusted else self._comparing(kind, wanted)

    def verify(self) -> int:
        """As :meth:`VideoReader.verify`, on the CPU: a GPU does not tell damage."""
        with VideoReader(self.path) as reader:
            return reader.verify()

    def info(self) -> VideoInfo:
        """As :meth:`VideoReader.info`."""
        with VideoReader(self.path) as reader:
            return reader.info()

    def _trusting(self, kind: Kind, wanted: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        given = 0
        try:
            for item in super().pixels(wanted):
                yield item
                given += 1
        except VideoError:
            # Whether the video or the GPU is at fault, the CPU will tell.
            self.left_to_cpu = f"{_in_words(kind)}: the GPU's decoder failed on some of the videos"
            yield from self._on_cpu(wanted[given:])
        else:
            if not self._planes.frames:
                self.left_to_cpu = f"{_in_words(kind)}: the GPU does not take some of the videos"

    def _comparing(self, kind: Kind, wanted: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Give the CPU's pixels and look whether the GPU's are the same."""
        theirs = super().pixels(wanted)
        fault: str | None = None
        for index, pixels in self._on_cpu(wanted):
            if fault is None:
                fault = _fault(theirs, index, pixels)
            yield index, pixels
        if fault is None and not self._planes.frames:
            fault = "the GPU does not decode it"
        if fault is None:
            self._nvdec.trusted.add(kind)
        else:
            self._nvdec.refused[kind] = self.left_to_cpu = f"{_in_words(kind)}: {fault}"

    def _open(self, keep_bytes: int) -> PacketSource:
        return PacketSource(self.path, keep_bytes, self._nvdec.gpu)

    def _rgb(self, frame: VideoFrame) -> NDArray[np.uint8]:
        return super()._rgb(self._planes.of(frame) if self.has_accelerator else frame)

    def _on_cpu(self, wanted: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        with VideoReader(self.path) as reader:
            yield from reader.pixels(wanted)

    def _kind(self) -> Kind:
        return self._source.codec, self._source.decoder.profile


def _fault(theirs: Iterator[tuple[int, NDArray[np.uint8]]], index: int, pixels: NDArray[np.uint8]) -> str | None:
    """What is wrong with the next frame that the GPU gives, if anything."""
    try:
        number, others = next(theirs, (-1, None))
    except VideoError as error:
        return f"the GPU's decoder failed: {error.reason}"
    if number != index or others is None:
        return f"the GPU gives no frame {index}"
    if others.shape != pixels.shape:
        return (
            f"the GPU's frames are {others.shape[1]}x{others.shape[0]}, the CPU's {pixels.shape[1]}x{pixels.shape[0]}"
        )
    if not np.array_equal(others, pixels):
        most = int(np.abs(others.astype(np.int16) - pixels).max())
        return f"the GPU's pixels differ from the CPU's (by up to {most} of 255 in frame {index})"
    return None


def _in_words(kind: Kind) -> str:
    return " ".join(filter(None, kind))
