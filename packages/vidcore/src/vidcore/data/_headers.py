"""Reads the headers of video files, many a request; run by :mod:`vidcore.data.inspect` as a process of its own.

    request   {"files": [[path, fps of a folder of frame images], ...]}
    answer    {"working": int} while it lasts, then
              {"headers": [{"info": {...}} or {"stage": str, "reason": str}, ...]}

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
from ._failure import VideoError
from ._open import check_declared, open_stream
from .frame_folder import FrameFolder

HEARTBEAT_SECONDS = 1.0


def examine_header(name: str, fps: float | None) -> dict[str, Any]:
    """What the header of one file states, or stage and reason of failure."""
    try:
        try:
            header = read_header(name) or _by_ffmpeg(Path(name))
        except IsADirectoryError:
            return {"info": dataclasses.asdict(FrameFolder(name, fps).info()) | {"path": name}}
        if header.missing_bytes > 0:
            return {"stage": "demux", "reason": f"{header.missing_bytes} bytes of it are missing at its end"}
    except VideoError as error:
        return {"stage": error.stage, "reason": error.reason}
    except OSError as error:
        return {"stage": "open", "reason": error.strerror or str(error)}
    return {"info": _info(name, header)}


def _by_ffmpeg(path: Path) -> Header:
    check_declared(path)
    container, stream = open_stream(path)
    with container:
        rate = float(stream.average_rate or 0)
        seconds = float((stream.duration or 0) * (stream.time_base or 0)) or (container.duration or 0) / 1e6
        codec = stream.codec_context
        return Header(container.format.name, codec.name, codec.width, codec.height, stream.frames, rate, seconds)


def _info(name: str, header: Header) -> dict[str, Any]:
    """The fields of a ``VideoInfo``; what only decoding tells is not known."""
    return {
        "path": name,
        "width": header.width,
        "height": header.height,
        "frames": header.frames,
        "fps": header.fps,
        "duration_seconds": header.duration_seconds,
        "codec": header.codec,
        "pix_fmt": "unknown",
        "rotation": 0,
        "variable_rate": False,
        "bit_rate": None,
        "container": header.container,
    }


def main() -> None:
    """Answer requests from standard input until it ends."""
    for line in sys.stdin:
        said, found = time.monotonic(), []
        for name, fps in json.loads(line)["files"]:
            found.append(examine_header(name, fps))
            if time.monotonic() - said > HEARTBEAT_SECONDS:
                said = time.monotonic()
                print(json.dumps({"working": len(found)}), flush=True)
        print(json.dumps({"headers": found}), flush=True)


if __name__ == "__main__":
    main()
