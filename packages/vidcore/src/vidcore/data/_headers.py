"""Reads the headers of video files, many a request; run by :mod:`vidcore.data.inspect` as a process of its own.

    request   {"files": [[path, fps of a folder of frame images], ...]}
    answer    {"headers": [{"info": {...}} or {"stage": str, "reason": str}, ...]}, after {"working": int} while it lasts

MP4, WebM and Matroska, and AVI are looked at by :mod:`vidcore.data._containers`; whatever that does not find in order
is opened by FFmpeg, which has the last word.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from ._containers import Header, read_header
from ._failure import DAMAGED, VideoError
from ._info import VideoInfo
from ._packets import open_stream
from .frame_folder import FrameFolder

HEARTBEAT_SECONDS = 1.0


def examine_header(path: Path, fps: float | None) -> dict[str, Any]:
    """What the header of one file states, or stage and reason of failure."""
    try:
        if path.is_dir():
            info = FrameFolder(path, fps).info()
        else:
            header = read_header(path)
            if header is None:
                info = _by_ffmpeg(path)
            elif header.missing_bytes > 0:
                raise VideoError(path, "demux", f"{header.missing_bytes} bytes of it are missing at its end", DAMAGED)
            else:
                info = _info(path, header)
    except VideoError as error:
        return {"stage": error.stage, "reason": error.reason}
    except OSError as error:
        return {"stage": "open", "reason": error.strerror or str(error)}
    return {"info": dataclasses.asdict(info) | {"path": str(path)}}


def _by_ffmpeg(path: Path) -> VideoInfo:
    container, stream = open_stream(path)
    with container:
        rate = float(stream.average_rate or 0)
        seconds = float((stream.duration or 0) * (stream.time_base or 0)) or (container.duration or 0) / 1e6
        codec = stream.codec_context
        header = Header(container.format.name, codec.name, codec.width, codec.height, stream.frames, rate, seconds)
    return _info(path, header)


def _info(path: Path, header: Header) -> VideoInfo:
    return VideoInfo(
        path=path,
        width=header.width,
        height=header.height,
        frames=header.frames,
        fps=header.fps,
        duration_seconds=header.duration_seconds,
        codec=header.codec,
        pix_fmt="unknown",
        rotation=0,
        variable_rate=False,
        bit_rate=None,
        container=header.container,
    )


def main() -> None:
    """Answer requests from standard input until it ends."""
    for line in sys.stdin:
        said, found = time.monotonic(), []
        for name, fps in json.loads(line)["files"]:
            found.append(examine_header(Path(name), fps))
            if time.monotonic() - said > HEARTBEAT_SECONDS:
                said = time.monotonic()
                print(json.dumps({"working": len(found)}), flush=True)
        print(json.dumps({"headers": found}), flush=True)


if __name__ == "__main__":
    main()
