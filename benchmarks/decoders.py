"""Ways to get some frames of a video, each with one thread: path and ascending indices in, uint8 (T, H, W, 3) out."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

Frames = np.ndarray


def reference(path: Path) -> Frames:
    """Every displayed frame by a plain sequential decode."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])


def vidcore(path: Path, wanted: list[int]) -> Frames:
    from vidcore.data.decode import VideoReader

    with VideoReader(path) as reader:
        return reader.read(wanted).permute(0, 2, 3, 1).numpy()


def pyav_sequential(path: Path, wanted: list[int]) -> Frames:
    """Decode up to the last wanted frame, convert the wanted ones."""
    left, found = set(wanted), []
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1
        for index, frame in enumerate(container.decode(stream)):
            if index in left:
                found.append(frame.to_ndarray(format="rgb24"))
                left.discard(index)
                if not left:
                    break
    return np.stack(found)


def pyav_seeking(path: Path, wanted: list[int]) -> Frames:
    """For each wanted frame seek to the keyframe before its time, by the average rate, and decode up to it."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1
        start = stream.start_time or 0
        ticks = 1 / (stream.average_rate * stream.time_base)
        for index in wanted:
            target = start + round(index * ticks)
            container.seek(target, stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.pts is not None and frame.pts >= target - ticks / 2:
                    found.append(frame.to_ndarray(format="rgb24"))
                    break
    return np.stack(found)


def opencv(path: Path, wanted: list[int]) -> Frames:
    """Grab every frame up to the last wanted one, retrieve the wanted ones."""
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    left, found = set(wanted), []
    for index in range(wanted[-1] + 1):
        if not capture.grab():
            break
        if index in left:
            _, pixels = capture.retrieve()
            found.append(pixels[:, :, ::-1])
    capture.release()
    return np.stack(found)


def decord_batch(path: Path, wanted: list[int]) -> Frames:
    import decord

    return decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1).get_batch(wanted).asnumpy()


def torchcodec_exact(path: Path, wanted: list[int]) -> Frames:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    return decoder.get_frames_at(wanted).data.numpy()


def torchcodec_approximate(path: Path, wanted: list[int]) -> Frames:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
    return decoder.get_frames_at(wanted).data.numpy()


def lend_ffmpeg() -> None:
    """Start again with the FFmpeg that PyAV brings where torchcodec has none: under the names torchcodec asks for."""
    if "VIDCORE_LENT_FFMPEG" in os.environ or shutil.which("ffmpeg"):
        return
    folder = Path(tempfile.mkdtemp(prefix="ffmpeg-"))
    for library in Path(av.__file__).parents[1].joinpath("av.libs").glob("lib*.so.*"):
        # libavcodec-5e6b81c2.so.62.28.102 is libavcodec.so.62 to others.
        name, _, version = library.name.partition(".so.")
        (folder / f"{name.rpartition('-')[0]}.so.{version.partition('.')[0]}").symlink_to(library)
    os.environ |= {"VIDCORE_LENT_FFMPEG": str(folder), "LD_LIBRARY_PATH": str(folder)}
    os.execv(sys.executable, [sys.executable, *sys.argv])


DECODERS: dict[str, Callable[[Path, list[int]], Frames]] = {
    "vidcore": vidcore,
    "PyAV sequential": pyav_sequential,
    "PyAV seeking": pyav_seeking,
    "OpenCV": opencv,
    "decord": decord_batch,
    "torchcodec exact": torchcodec_exact,
    "torchcodec appr.": torchcodec_approximate,
}
