"""Examines video files, one JSON request a line; run by :mod:`vidcore.data.inspect` as a process of its own.

A decoder that crashes or hangs on a broken file takes this process down and nothing else. While it decodes it says
so about once a second, so that a long film is told from a hung decoder.

    request   {"path": str, "fps": float | null, "segments": [[start, end], ...], "decode": bool}
    answer    {"working": int} any number of times, then
              {"info": {...}, "sha256": str, "counts": [int, ...]}  frames in each segment, or
              {"stage": str, "reason": str, "sha256": str | null}
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._convert import Converter
from ._decoder import FrameDecoder
from ._failure import VideoError
from ._index import segment_bounds
from ._info import VideoInfo, describe
from ._open import check_file
from ._orientation import Orientation
from ._packets import PacketSource
from .frame_folder import FrameFolder, folder_sha256

HEARTBEAT_SECONDS = 1.0


def examine(
    path: Path,
    segments: list[tuple[float | None, float | None]],
    *,
    decode: bool,
    fps: float | None = None,
    beat: Callable[[int], None] = lambda frames: None,
) -> dict[str, Any]:
    """Examine one file: its info, content hash and frames in each half-open segment, or stage and reason of failure.

    Args:
        path: The video.
        segments: ``(start_seconds, end_seconds)``, either may be None.
        decode: Decode every frame; else only the packets are read and one frame decoded.
        fps: Frames per second, where the path is a folder of frame images.
        beat: Called with the number of frames decoded so far.
    """
    digest = None
    try:
        if os.path.isdir(path):  # noqa: PTH112 - False for names that no file has
            digest = folder_sha256(path)
            folder = FrameFolder(path, fps)
            for index, _ in folder.pixels(None if decode else [0]):
                beat(index)
            return _answer(folder.info(), digest, segments, folder.times_seconds)
        check_file(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        source = PacketSource(path)
        try:
            stored_size = (source.decoder.width, source.decoder.height)
            decoder = FrameDecoder(source, threads=1)
            orientation = Orientation()
            converter = Converter(path, *stored_size)
            for index, frame in decoder.frames(range(len(decoder.table)) if decode else [0]):
                if index == 0:
                    orientation = Orientation.of(frame)
                converter.check(frame)
                beat(index)
            if decode:
                source.check_sums()
            info = describe(decoder, stored_size, orientation, converter.notes)
            times = decoder.table.times_seconds
        finally:
            source.close()
    except VideoError as error:
        return {"stage": error.stage, "reason": error.reason, "sha256": digest}
    except OSError as error:
        return {"stage": "open", "reason": error.strerror or str(error), "sha256": digest}
    return _answer(info, digest, segments, times)


def _answer(
    info: VideoInfo, digest: str, segments: list[tuple[float | None, float | None]], times: NDArray[np.float64]
) -> dict[str, Any]:
    counts = []
    for start, end in segments:
        first, stop = segment_bounds(times, start, end)
        counts.append(max(0, stop - first))
    return {"info": dataclasses.asdict(info) | {"path": str(info.path)}, "sha256": digest, "counts": counts}


def main() -> None:
    """Answer requests from standard input until it ends."""
    said = time.monotonic()

    def beat(frames: int) -> None:
        nonlocal said
        if time.monotonic() - said > HEARTBEAT_SECONDS:
            said = time.monotonic()
            print(json.dumps({"working": frames}), flush=True)

    for line in sys.stdin:
        request = json.loads(line)
        segments = [(start, end) for start, end in request["segments"]]
        answer = examine(Path(request["path"]), segments, decode=request["decode"], fps=request.get("fps"), beat=beat)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
