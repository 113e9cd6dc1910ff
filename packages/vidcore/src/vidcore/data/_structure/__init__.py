"""What containers say about their own end: boxes, chunks, pages and blocks, walked without reading what they hold.

FFmpeg's demuxers stop quietly where a file stops, so a file cut short looks like a shorter one. Most containers state
how long their parts are; a part that runs past the end of the file, or an end marker that is missing, tells. What a
container does not say (a live stream cut between two clusters) cannot be seen here.

Files are not trusted: every length is checked against the file before it is used, and the number of steps is bounded.
"""

from __future__ import annotations

from pathlib import Path

from . import asf, chunks, gif, isobmff, matroska, mpeg, ogg, riff
from ._bytes import Bytes, Survey

__all__ = ["Survey", "survey", "wrong_checksum"]

# By FFmpeg's names of demuxers.
_WALKS = {
    "apng": chunks.apng,
    "asf": asf.survey,
    "avi": riff.survey,
    "flv": chunks.flv,
    "gif": gif.survey,
    "ivf": chunks.ivf,
    "matroska,webm": matroska.survey,
    "mov,mp4,m4a,3gp,3g2,mj2": isobmff.survey,
    "mpeg": mpeg.program_stream,
    "mpegts": mpeg.transport_stream,
    "mxf": chunks.mxf,
    "ogg": ogg.survey,
}


def survey(path: Path, container: str) -> Survey:
    """Walk ``path``, which FFmpeg calls a ``container``; nothing is known of containers without a walk.

    Raises:
        OSError: The file cannot be read.
    """
    walk = _WALKS.get(container)
    if walk is None:
        return Survey()
    with path.open("rb") as file:
        return walk(Bytes(file))


def wrong_checksum(path: Path, container: str) -> str | None:
    """Read all of a file whose container keeps checksums and say which part does not have its own.

    Raises:
        OSError: The file cannot be read.
    """
    if container != "matroska,webm":
        return None
    with path.open("rb") as file:
        return matroska.wrong_checksum(Bytes(file))
