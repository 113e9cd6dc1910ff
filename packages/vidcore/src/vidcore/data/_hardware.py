"""The video decoder of an NVIDIA GPU (NVDEC), as PyAV offers it: frames come back to main memory."""

from __future__ import annotations

import av
from av.codec import Codec
from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vidcore.errors import ConfigError

# How NVDEC lays out pixels (luma, then chroma interleaved) and how FFmpeg's own decoders do: the same numbers.
_PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}


def accelerator(gpu: int) -> HWAccel:
    """What PyAV opens a video with; streams that the GPU cannot decode are decoded on the CPU."""
    # The primary context, so that all videos of a process share it; one that PyTorch has opened FFmpeg would refuse.
    return HWAccel("cuda", str(gpu), allow_software_fallback=True, options={"primary_ctx": "1"})


def hold_context(gpu: int) -> HWAccel:
    """A context on the GPU, which lives as long as the answer: making one takes longer than decoding a clip.

    Raises:
        ConfigError: FFmpeg cannot use this GPU.
    """
    try:
        return accelerator(gpu).create(Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError) as error:
        # NotImplementedError is PyAV's word for an FFmpeg that was built without CUDA.
        raise ConfigError(
            f"NVDEC cannot be used on GPU {gpu}: {getattr(error, 'strerror', None) or error}\n"
            "  it needs an NVIDIA GPU and its driver with the video libraries (in containers: "
            "NVIDIA_DRIVER_CAPABILITIES=compute,video)\n"
            "  to decode on the CPU: --decoder cpu"
        ) from error


class Planes:
    """Brings frames that came from a GPU into the layout that FFmpeg's own decoders give; others are left as they are.

    Attributes:
        frames: How many came from a GPU so far.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._reformatter = VideoReformatter()

    def of(self, frame: VideoFrame) -> VideoFrame:
        """The frame with its planes apart. Converted to RGB from there, pixels are the CPU's bit for bit."""
        planar = _PLANAR.get(frame.format.name)
        if planar is None:
            return frame
        self.frames += 1
        return self._reformatter.reformat(frame, format=planar, threads=1)
