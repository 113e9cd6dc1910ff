"""AVI: chunks of (type, size, content) in RIFF lists.

Layouts: Microsoft's AVI RIFF File Reference; OpenDML AVI File Format Extensions 1.02 for ``indx``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ._bytes import MOST_STEPS, Bytes, Survey

_HAS_INDEX = 0x10
# Some writers count the header's eight bytes, or padding, into the size of the whole.
_SLACK_BYTES = 16


class _Chunk(NamedTuple):
    kind: bytes
    begin: int
    """Where its content begins; in a list, after the list's own type."""
    end: int


def survey(file: Bytes) -> Survey:
    """Look whether every list and chunk lies in the file and the index is there that the header announces."""
    place, first = 0, True
    for _ in range(MOST_STEPS):
        head = file.at(place, 12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:11] != b"AVI":
            return Survey()
        (size,) = struct.unpack_from("<I", head, 4)
        stated = size not in (0, 0xFFFFFFFF)
        end = place + 8 + size if stated else file.size
        fault = _riff(file, place + 12, min(end, file.size), first=first)
        if fault is None and end > file.size + _SLACK_BYTES:
            fault = file.past_end("its RIFF list", end)
        if fault is not None or not stated:
            return Survey(fault)
        place, first = place + 8 + size + (size & 1), False
    return Survey()


def _riff(file: Bytes, begin: int, end: int, *, first: bool) -> str | None:
    announced = False
    index = False
    for chunk in _chunks(file, begin, end):
        if chunk.kind == b"movi" and chunk.end - chunk.begin + 4 in (0, 0xFFFFFFFF):
            return _unfinished(file, chunk.begin)
        if chunk.end > file.size:
            return file.past_end(f"its '{chunk.kind.decode('latin-1').strip()}' chunk", chunk.end)
        if chunk.kind == b"hdrl" and first:
            announced, opendml, fault = _header(file, chunk)
            index = opendml
            if fault is not None:
                return fault
        index = index or chunk.kind == b"idx1"
    return "it is cut short: the index that its header announces is missing" if announced and not index else None


def _chunks(file: Bytes, begin: int, end: int) -> Iterator[_Chunk]:
    """Chunks and lists from ``begin`` on; what is no chunk ends them."""
    place = begin
    for _ in range(MOST_STEPS):
        head = file.at(place, 12)
        if len(head) < 8 or place + 8 > end:
            return
        kind, size = struct.unpack_from("<4sI", head)
        if not all(0x20 <= byte < 0x7F for byte in kind):
            return
        stop = place + 8 + size
        if kind == b"LIST" and len(head) == 12:
            yield _Chunk(head[8:12], place + 12, stop)
        else:
            yield _Chunk(kind, place + 8, stop)
        place = stop + (size & 1)


def _header(file: Bytes, header: _Chunk) -> tuple[bool, bool, str | None]:
    """Whether an index is announced, whether streams have indexes of their own (OpenDML), and what these lack."""
    announced, opendml = False, False
    for chunk in _chunks(file, header.begin, header.end):
        if chunk.kind == b"avih":
            flags = file.at(chunk.begin + 12, 4)
            announced = len(flags) == 4 and bool(struct.unpack("<I", flags)[0] & _HAS_INDEX)
        elif chunk.kind == b"strl":
            for inner in _chunks(file, chunk.begin, min(chunk.end, header.end)):
                if inner.kind == b"indx":
                    opendml = True
                    end = _index_end(file, inner)
                    if end > file.size:
                        return announced, opendml, file.past_end("the last part in its index", end)
    return announced, opendml, None


def _index_end(file: Bytes, chunk: _Chunk) -> int:
    """Where the last of the indexes that an OpenDML super index names ends."""
    head = file.at(chunk.begin, 24)
    if len(head) < 24 or head[3] != 0:
        return 0
    (used,) = struct.unpack_from("<I", head, 4)
    entries = file.at(chunk.begin + 24, min(used * 16, max(0, chunk.end - chunk.begin - 24)))
    ends = (sum(struct.unpack_from("<QI", entries, i)) for i in range(0, len(entries) - 15, 16))
    return max(ends, default=0)


def _unfinished(file: Bytes, place: int) -> str | None:
    """A file whose sizes were never filled in: whether its last chunk is there."""
    for chunk in _chunks(file, place, file.size):
        if chunk.end > file.size:
            return file.past_end("its last chunk", chunk.end)
        place = chunk.end + (chunk.end & 1)
    return f"it is cut short in a chunk's header, at byte {file.size}" if 0 < file.size - place < 8 else None
