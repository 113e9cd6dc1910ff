"""MP4, QuickTime and their relatives: boxes of (size, type, content).

Layouts: ISO/IEC 14496-12, 4.2 (boxes), 8.6.1 (stts), 8.6.6 (elst), 8.7.3 (stsz), 8.8.8 (trun), 8.16.3 (sidx).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ._bytes import MOST_STEPS, Bytes, Survey

_DESCENDED = frozenset({b"trak", b"edts", b"mdia", b"minf", b"stbl", b"traf"})
_PER_SAMPLE_FIELDS = 0x000F00


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    begin: int
    """Where its content begins."""
    end: int
    open_ended: bool = False


@dataclass(slots=True)
class _Track:
    edited: bool = False
    samples: int = 0
    constant_size: bool = False
    pcm: bool = False


def survey(file: Bytes) -> Survey:
    """Look whether every box lies in the file, what sample tables declare, and whether there is an edit list."""
    fault: str | None = None
    samples, edited, last = 0, False, b""
    for box in _boxes(file, 0, file.size, cut=True):
        if box.end > file.size:
            fault = file.past_end(f"its '{box.kind.decode('latin-1')}' box", box.end)
        if box.kind == b"moov":
            tracks = _tracks(file, box)
            edited = any(track.edited for track in tracks)
            samples = max([samples, *(t.samples for t in tracks if t.constant_size and not t.pcm)])
        elif box.kind == b"moof":
            samples = max(samples, _fragment_samples(file, box))
        elif box.kind == b"sidx" and fault is None:
            fault = _past_index(file, box)
        last = box.kind
    if fault is None and last == b"moof":
        fault = "it is cut short: the data of its last fragment is missing"
    return Survey(fault, samples=samples, edited=edited)


def _boxes(file: Bytes, begin: int, end: int, *, cut: bool = False) -> Iterator[_Box]:
    """Boxes from ``begin`` on; what is no box ends them. With ``cut``, one that runs past ``end`` is the last."""
    place = begin
    for _ in range(MOST_STEPS):
        head = file.at(place, 16)
        if len(head) < 8 or place + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", head)
        if not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind):
            return  # padding, or other bytes after the last box
        content = place + 8
        if size == 0:
            yield _Box(kind, content, end, open_ended=True)
            return
        if size == 1:
            if len(head) < 16:
                return
            (size,) = struct.unpack_from(">Q", head, 8)
            content = place + 16
        if place + size < content:
            return
        if place + size > end:
            if cut:
                yield _Box(kind, content, place + size)
            return
        yield _Box(kind, content, place + size)
        place += size


def _tracks(file: Bytes, moov: _Box) -> list[_Track]:
    tracks = []
    for box in _boxes(file, moov.begin, min(moov.end, file.size)):
        if box.kind == b"trak":
            track = _Track()
            _read_track(file, box, track)
            tracks.append(track)
    return tracks


def _read_track(file: Bytes, parent: _Box, track: _Track) -> None:
    # As deep as _DESCENDED goes: a box inside one of its own kind is not entered.
    for box in _boxes(file, parent.begin, parent.end):
        if box.kind in _DESCENDED and box.kind != parent.kind and box.kind != b"trak":
            _read_track(file, box, track)
        elif box.kind == b"elst":
            track.edited = True
        elif box.kind == b"stsz" and len(head := file.at(box.begin, 12)) == 12:
            size, track.samples = struct.unpack_from(">II", head, 4)
            track.constant_size = size != 0
        elif box.kind == b"stts":
            # One sample a tick: FFmpeg reads raw sound in blocks and makes no entry for each.
            head = file.at(box.begin, 16)
            track.pcm = head[4:8] == head[12:16] == b"\x00\x00\x00\x01"


def _fragment_samples(file: Bytes, moof: _Box) -> int:
    """The most samples of a run in this fragment that says nothing about each."""
    most = 0
    for traf in _boxes(file, moof.begin, min(moof.end, file.size)):
        if traf.kind != b"traf":
            continue
        for run in _boxes(file, traf.begin, traf.end):
            head = file.at(run.begin, 8)
            if run.kind == b"trun" and len(head) == 8:
                flags, samples = struct.unpack(">II", head)
                if not flags & _PER_SAMPLE_FIELDS:
                    most = max(most, samples)
    return most


def _past_index(file: Bytes, box: _Box) -> str | None:
    """A segment index says how many bytes follow it."""
    head = file.at(box.begin, 32)
    wide = head[:1] == b"\x01"
    start = 20 if wide else 12  # after version and flags, reference_ID, timescale and earliest_presentation_time
    layout = ">QHH" if wide else ">IHH"
    if len(head) < start + struct.calcsize(layout):
        return None
    first_offset, _, references = struct.unpack_from(layout, head, start)
    entries = file.at(box.begin + start + struct.calcsize(layout), min(references * 12, box.end - box.begin))
    sizes = (struct.unpack_from(">I", entries, i)[0] & 0x7FFFFFFF for i in range(0, len(entries) - 11, 12))
    end = box.end + first_offset + sum(sizes)
    return file.past_end("the last fragment in its index", end) if end > file.size else None
