"""Opens a file as a video: as a file and nothing else, in a container people keep videos in, within the limits."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from . import _structure
from ._failure import DAMAGED, NOT_A_VIDEO, VideoError
from ._hardware import accelerator
from .limits import BYTES_PER_PIXEL, FRAME_PIXELS, FRAMES

# FFmpeg's demuxers of media files. Others follow names to other files (playlists, numbered pictures), read text or
# still pictures, or belong to formats of a single game: a stranger's file has no claim on them.
CONTAINERS = (
    "amv,apng,asf,av1,avi,avs2,avs3,cavsvideo,cine,dhav,dirac,dnxhd,dv,evc,flic,flv,gif,gxf,h261,h263,h264,hevc,"
    "ivf,kux,live_flv,lmlm4,m4v,matroska,mjpeg,mjpeg_2000,mov,mp4,mpeg,mpegts,mpegvideo,mxf,mxg,nsv,nut,obu,ogg,pva,"
    "r3d,rm,vc1,vc1test,vvc,webm,wtv,yuv4mpegpipe"
)
# What each decoder needs to tell damage that it would otherwise hide: tests/data/test_damage.py has one case for each.
ERROR_DETECTION = {
    "apng": "crccheck+explode",
    "mjpeg": "explode",
    "msmpeg4v1": "bitstream+buffer",
    "msmpeg4v2": "bitstream+buffer",
    "msmpeg4v3": "bitstream+buffer",
    "png": "crccheck+explode",
    "wmv1": "bitstream+buffer",
    "wmv2": "bitstream+buffer",
}
_ISOBMFF = (b"ftyp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"pnot", b"uuid")
_PLAYLISTS = (b"ffconcat", b"#EXTM3U", b"<?xml", b"[playlist]", b"[Reference]", b"<asx", b"<MPD", b"v=0")
_STILLS = (
    (b"\x89PNG", "a still picture (PNG)"),
    (b"\xff\xd8\xff", "a still picture (JPEG)"),
    (b"BM", "a still picture (BMP)"),
    (b"II*\x00", "a still picture (TIFF)"),
    (b"MM\x00*", "a still picture (TIFF)"),
)


def open_stream(path: str | os.PathLike[str], gpu: int | None = None) -> tuple[InputContainer, VideoStream]:
    """Open ``path`` and choose its video stream by FFmpeg's best-stream rule; decoded on ``gpu`` where that can be.

    Raises:
        VideoError: There is no such file, it is empty or not a video, it holds no video stream, no decoder knows it,
            or its frames are larger than the limit.
    """
    path = Path(path)
    check_file(path)
    try:
        container = _open(path, gpu)
    except (av.error.InvalidDataError, av.error.ArgumentError) as error:
        raise _no_video(path) from error
    except (av.FFmpegError, OSError) as error:
        raise VideoError(path, "open", error.strerror or str(error), NOT_A_VIDEO) from error
    try:
        return container, _best(path, container)
    except VideoError:
        container.close()
        raise


def check_file(path: Path) -> None:
    """Refuse what is no file with content: reading a pipe or a device may never end.

    Raises:
        VideoError: There is no such file, or it is a folder, a device, a pipe, a socket or empty.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise VideoError(path, "open", error.strerror or str(error), NOT_A_VIDEO) from error
    except ValueError as error:  # a name that holds a null byte, or characters that no file name has
        raise VideoError(path, "open", f"its name cannot be a file's: {error}", NOT_A_VIDEO) from error
    if stat.S_ISDIR(status.st_mode):
        raise VideoError(path, "open", "it is a folder, not a video file", NOT_A_VIDEO)
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(path, "open", "it is a device, a pipe or a socket, not a file", NOT_A_VIDEO)
    if status.st_size == 0:
        raise VideoError(path, "open", "the file is empty (0 bytes)", DAMAGED)


def _open(path: Path, gpu: int | None) -> InputContainer:
    options = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS, "max_pixels": _ffmpeg_pixels()}
    name = os.fspath(path)
    source: str | BinaryIO
    try:
        # "file:" in front: what stands before a colon in the name is no protocol.
        source = "file:" + name.encode("utf-8").decode()
    except UnicodeEncodeError:  # bytes that are no UTF-8, as other systems' archives leave them
        source = path.open("rb")
    hwaccel = None if gpu is None else accelerator(gpu)
    # Pictures one after another look like a single one.
    kind = "mjpeg" if path.suffix.lower() in (".mjpeg", ".mjpg") else None
    return av.open(source, "r", format=kind, options=options, metadata_errors="replace", hwaccel=hwaccel)


def _ffmpeg_pixels() -> str:
    # FFmpeg's own limit counts the padding of frames, too; it holds where a stream's size grows in its middle.
    return str(2 * FRAME_PIXELS.value + (1 << 20))


def _best(path: Path, container: InputContainer) -> VideoStream:
    stream = cast("VideoStream | None", container.streams.best("video"))
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
        kinds = ", ".join(sorted({other.type for other in container.streams})) or "nothing"
        raise VideoError(path, "open", f"it holds no video stream, only: {kinds}", NOT_A_VIDEO)
    # The declared type leaves out that there may be no decoder.
    codec: Any = stream.codec_context
    if codec is None:
        raise VideoError(path, "open", "this build of FFmpeg has no decoder for its video stream", NOT_A_VIDEO)
    limit = FRAME_PIXELS.value
    if codec.width * codec.height > limit:
        raise too_large(path, codec.width, codec.height)
    if codec.width * codec.height == 0:
        raise VideoError(
            path, "open", f"the size of its frames cannot be read, or is above the limit of {limit:,} pixels", DAMAGED
        )
    options = {"max_pixels": _ffmpeg_pixels()}
    if codec.codec.canonical_name in ERROR_DETECTION:
        options["err_detect"] = ERROR_DETECTION[codec.codec.canonical_name]
    codec.options = options
    # Without it FFmpeg moves the left edge to where its copies are fastest, and the picture is wider than it should be.
    codec.flags |= int(av.codec.context.Flags.unaligned)
    return stream


def too_large(path: Path, width: int, height: int) -> VideoError:
    """The refusal of frames above the limit."""
    pixels = width * height
    return VideoError(
        path,
        "open",
        f"its frames are {width}x{height}, {pixels * BYTES_PER_PIXEL / 2**20:,.0f} MiB each; at most "
        f"{FRAME_PIXELS.value:,} pixels are read",
        FRAME_PIXELS.advice(pixels),
    )


def check_declared(path: Path) -> _structure.Survey | None:
    """Refuse what FFmpeg would make gigabytes of when it opens the file: large pictures and long sample tables.

    Returns:
        Survey: Of MP4 and its relatives, where it was needed.

    Raises:
        VideoError: As :func:`check_file`, or more is declared than the limits allow.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError as error:
        raise VideoError(path, "open", error.strerror or str(error), NOT_A_VIDEO) from error
    size = (0, 0)
    if head.startswith(b"GIF8") and len(head) >= 10:
        size = struct.unpack_from("<HH", head, 6)
    elif head.startswith(b"\x89PNG") and len(head) == 24:
        size = struct.unpack_from(">II", head, 16)
    if size[0] * size[1] > FRAME_PIXELS.value:
        raise too_large(path, *size)
    if head[4:8] not in _ISOBMFF:
        return None
    found = _structure.survey(path, "mov,mp4,m4a,3gp,3g2,mj2")
    samples = found.samples
    if samples > FRAMES.value:
        raise VideoError(
            path, "open", f"it declares {samples:,} samples in one table; at most {FRAMES.value:,} frames are read",
            FRAMES.advice(samples),
        )  # fmt: skip
    return found


def _no_video(path: Path) -> VideoError:
    """What a file is that FFmpeg does not open as a video, as far as its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(64)
    kind = next((kind for magic, kind in _STILLS if head.startswith(magic)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        animated = head[12:16] == b"VP8X" and head[20:21] and head[20] & 2
        kind = "an animated WebP, which FFmpeg does not decode" if animated else "a still picture (WebP)"
    if kind is not None:
        return VideoError(
            path, "open", f"it is {kind}, not a video",
            "make a video of it (.mp4, .gif, .apng), or take its row out of the manifest",
        )  # fmt: skip
    if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(_PLAYLISTS):
        return VideoError(
            path, "open", "it is a text file that names other files (a playlist), not a video",
            "name the videos themselves in the manifest",
        )  # fmt: skip
    return VideoError(
        path, "open", "it is not a video FFmpeg knows, or the part that says where its frames are is missing", DAMAGED
    )
