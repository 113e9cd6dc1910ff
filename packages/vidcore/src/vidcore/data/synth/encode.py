"""Clips to H.264 bytes: the same bytes for the same frames."""

from __future__ import annotations

import io

import av
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

# Macroblock trees together with B-frames make libx264 read memory nobody wrote where a frame is a few blocks wide: of
# 20 clips of 64 x 64 encoded five times, nine came out in more than one version. Without either, or without its
# assembly, none did.
_OPTIONS = {"crf": "14", "preset": "veryfast", "x264-params": "mbtree=0:bframes=0"}


def encode_clip(frames: NDArray[np.uint8], fps: int) -> bytes:
    """An MP4 file of RGB uint8 frames (T, 3, H, W) at ``fps`` frames a second.

    Encoded on one thread and without date or version stamps, so that the bytes depend on nothing but the frames and
    the libraries. Chroma is halved (4:2:0), which every player reads, unless a side is odd.
    """
    height, width = frames.shape[2:]
    pixel_format = "yuv444p" if height % 2 or width % 2 else "yuv420p"
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= Flags.bitexact
        for picture in np.ascontiguousarray(frames.transpose(0, 2, 3, 1)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()
