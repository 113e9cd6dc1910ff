"""Cuts clips from videos, one JSON request a line; run by :mod:`vidcore.extract.decoding` as a process of its own.

A decoder that crashes or hangs on a broken file takes this process down and nothing else. Frames go through memory
that both processes map (the file descriptor is the first argument), in slots of a ring; a slot is used again when the
other side has said that it is free. So the memory taken is bounded, however long the clip. Free of torch, so that a
process starts in half a second and takes little memory; frames are fitted on the other side. A second argument is the
number of the GPU whose decoder is to be used.

    request   {"path": str, "fps": float | null, "start": float | null, "end": float | null, "samplings": [{...}]}
              or {"free": int}; fps is that of a folder of frame images
    at first  {"ready": true}, or {"unusable": str} where there is no such GPU
    answer    {"frames": U, "height": int, "width": int, "file": [size, mtime_ns, inode],
               "clips": [{"places": [T], "mask": [T], "times": [T], "windows": int}]}   one clip for each sampling
              {"slot": int, "offset": int, "count": int}   ``count`` frames (H, W, 3) of U lie there; until all are
              {"done": [size, mtime_ns, inode], "seconds": float, "gpu": bool, "note": str | null}   whether the GPU
              decoded it, and why not where it should have; or at any point
              {"stage": str, "reason": str, "seconds": float}
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidcore.data._cut import plan_cut
from vidcore.data._failure import VideoError
from vidcore.data.decode import VideoReader
from vidcore.data.frame_folder import folder_state, open_video
from vidcore.data.nvdec import Nvdec, NvdecReader
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError

SLOTS = 3
# A slot of this size holds a clip of small videos whole and is a fraction of one of large videos.
SLOT_BYTES = 4 << 20


class _Ring:
    """Slots of shared memory and the lines that speak of them."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._map: mmap.mmap | None = None
        self._slot_bytes = 0
        self._free = deque(range(SLOTS))
        self._requests: deque[dict[str, Any]] = deque()
        self.waited = 0.0

    def request(self) -> dict[str, Any] | None:
        """The next request, or None when the other side has gone."""
        while not self._requests:
            if not self._hear():
                return None
        return self._requests.popleft()

    def say(self, **answer: Any) -> None:
        print(json.dumps(answer), flush=True)

    def slot(self, frame_bytes: int) -> tuple[int, int, NDArray[np.uint8]]:
        """A free slot that holds at least one frame: number, offset, bytes. Waits for one."""
        began = time.perf_counter()
        needed = max(frame_bytes, SLOT_BYTES)
        # Slots grow all at once, when nobody looks at any of them.
        while not self._free or (needed > self._slot_bytes and len(self._free) < SLOTS):
            if not self._hear():
                sys.exit(0)
        self.waited += time.perf_counter() - began
        if self._map is None or needed > self._slot_bytes:
            self._slot_bytes = needed
            os.ftruncate(self._memory, SLOTS * needed)
            self._map = mmap.mmap(self._memory, SLOTS * needed)
        number = self._free.popleft()
        offset = number * self._slot_bytes
        return number, offset, np.frombuffer(self._map, np.uint8, self._slot_bytes, offset)

    def give_back(self, number: int) -> None:
        """A slot that was taken and not spoken of."""
        self._free.append(number)

    def _hear(self) -> bool:
        line = sys.stdin.readline()
        if not line:
            return False
        heard = json.loads(line)
        if "free" in heard:
            self._free.append(heard["free"])
        else:
            self._requests.append(heard)
        return True


class _Sender:
    """Puts the ``count`` frames of one clip into slots, and says so slot by slot."""

    def __init__(self, ring: _Ring, count: int) -> None:
        self._ring = ring
        self._left = count
        self._slot: tuple[int, int, NDArray[np.uint8]] | None = None
        self._held = 0

    def put(self, pixels: NDArray[np.uint8]) -> None:
        if self._slot is None:
            self._slot, self._held = self._ring.slot(pixels.nbytes), 0
        number, offset, memory = self._slot
        begin = self._held * pixels.nbytes
        memory[begin : begin + pixels.nbytes].reshape(pixels.shape)[:] = pixels
        self._held, self._left = self._held + 1, self._left - 1
        if self._left == 0 or begin + 2 * pixels.nbytes > len(memory):
            self._ring.say(slot=number, offset=offset, count=self._held)
            self._slot = None

    def close(self) -> None:
        """After an error: the slot begun is free again."""
        if self._slot is not None:
            self._ring.give_back(self._slot[0])


def _file(path: Path) -> list[int]:
    if path.is_dir():
        return list(folder_state(path))
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _opened(path: Path, fps: float | None, nvdec: Nvdec | None) -> VideoReader:
    # Frame images are decoded by the CPU.
    return open_video(path, fps=fps) if nvdec is None or path.is_dir() else nvdec.open(path)


def _send_clip(ring: _Ring, request: dict[str, Any], nvdec: Nvdec | None) -> dict[str, Any]:
    path = Path(request["path"])
    with _opened(path, request.get("fps"), nvdec) as reader:
        seen = _file(path)
        samplings = [Sampling(**sampling) for sampling in request["samplings"]]
        cut = plan_cut(reader, samplings, request["start"], request["end"])
        clips = [
            {
                "places": cut.places(clip.indices[0]).tolist(),
                "mask": clip.mask[0].tolist(),
                "times": clip.times[0].tolist(),
                "windows": clip.windows,
            }
            for clip in cut.clips
        ]
        sender, said = _Sender(ring, len(cut.wanted)), False
        try:
            for _, pixels in reader.pixels(cut.wanted.tolist()):
                if not said:
                    height, width, _ = pixels.shape
                    ring.say(frames=len(cut.wanted), height=height, width=width, clips=clips, file=seen)
                    said = True
                sender.put(pixels)
        finally:
            sender.close()
        note = reader.left_to_cpu if isinstance(reader, NvdecReader) else None
        return {"done": _file(path), "gpu": isinstance(reader, NvdecReader) and note is None, "note": note}


def main() -> None:
    """Answer requests from standard input until it ends."""
    # Ctrl-C reaches every process of the terminal; this one ends when the other side does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ring = _Ring(int(sys.argv[1]))
    try:
        nvdec = Nvdec(int(sys.argv[2])) if len(sys.argv) > 2 else None
    except ConfigError as error:
        ring.say(unusable=str(error))
        return
    ring.say(ready=True)
    while (request := ring.request()) is not None:
        began, ring.waited = time.perf_counter(), 0.0
        try:
            answer = _send_clip(ring, request, nvdec)
        except VideoError as error:
            failed = {"stage": error.stage, "reason": error.reason}
        except OSError as error:
            failed = {"stage": "open", "reason": error.strerror or str(error)}
        except MemoryError:
            failed = {"stage": "decode", "reason": "there is not enough memory for its frames"}
        else:
            ring.say(**answer, seconds=time.perf_counter() - began - ring.waited)
            continue
        ring.say(**failed, seconds=time.perf_counter() - began - ring.waited)


if __name__ == "__main__":
    main()
