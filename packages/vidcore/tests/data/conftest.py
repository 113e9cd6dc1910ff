"""Small videos made on the spot, and the plain sequential decode that every sparse read must equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


def draw_frames(count: int, width: int, height: int) -> np.ndarray:
    """Moving texture (count, height, width, 3) whose every frame differs, so that a wrong index shows."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack(
        [
            np.stack([(columns * 3 + t * 5) % 256, (rows * 4 + t * 7) % 256, (rows + columns + t * 11) % 256], -1)
            for t in range(count)
        ]
    ).astype(np.uint8)


def encode_video(
    path: Path,
    codec: str,
    *,
    frames: int = 40,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    gop: int = 12,
    pts: Sequence[int] | None = None,
    fps: int = 30,
    rotate: float | None = None,
    mirror: bool = False,
    aspect: Fraction | None = None,
) -> Path:
    """Encode a moving texture; ``pts`` are in frames of ``fps``."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.gop_size = gop
        stream.codec_context.thread_count = 1
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotate is not None or mirror:
            stream.set_display_rotation(rotate or 0.0, hflip=mirror)
        for index, pixels in enumerate(draw_frames(frames, *size)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = index if pts is None else pts[index]
            frame.time_base = Fraction(1, fps)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def decode_all(path: Path) -> np.ndarray:
    """Every displayed frame (N, H, W, 3) by a plain sequential decode, before any rotation."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        assert stream is not None
        stream.codec_context.thread_count = 1
        width, height = stream.codec_context.width, stream.codec_context.height
        return np.stack(
            [frame.to_ndarray(format="rgb24", width=width, height=height) for frame in container.decode(stream)]
        )


@pytest.fixture(scope="session")
def encode() -> Callable[..., Path]:
    """:func:`encode_video`."""
    return encode_video


@pytest.fixture(scope="session")
def sequential() -> Callable[[Path], np.ndarray]:
    """:func:`decode_all`."""
    return decode_all
