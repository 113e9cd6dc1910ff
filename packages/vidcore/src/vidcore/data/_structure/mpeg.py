"""MPEG program and transport streams, looked at from their end. ISO/IEC 13818-1, 2.4.3 and 2.5.3."""

from __future__ import annotations

import struct

from ._bytes import Bytes, Survey

_TAIL_BYTES = 1 << 18
_SYNC = 0x47
# Bytes of a packet, and of them before the synchronisation byte: plain, with time codes (Blu-ray), with parity.
_PACKETS = ((188, 0), (192, 4), (204, 0))
_ALIGNED = 8
_PACK, _END = 0xBA, 0xB9


def transport_stream(file: Bytes) -> Survey:
    """Look whether the last packet is whole."""
    base = max(0, file.size - 64 * 204)
    tail = file.at(base, 64 * 204)
    for size, before in _PACKETS:
        for phase in range(min(size, len(tail))):
            places = range(phase + before, len(tail), size)
            if len(places) < _ALIGNED or any(tail[place] != _SYNC for place in places):
                continue
            missing = (size - (len(tail) - phase) % size) % size
            return Survey(file.past_end("its last packet", file.size + missing) if missing else None)
    return Survey()


def program_stream(file: Bytes) -> Survey:
    """Look whether the last packet is whole: from some pack near the end, every packet states its length."""
    base = max(0, file.size - _TAIL_BYTES)
    tail = file.at(base, _TAIL_BYTES)
    fault: str | None = None
    place = tail.find(b"\x00\x00\x01\xba")
    for _ in range(64):
        if place < 0:
            break
        end = _follow(tail, place)
        if end == len(tail):
            return Survey()
        if end is not None and fault is None:
            fault = file.past_end("its last packet", base + end)
        place = tail.find(b"\x00\x00\x01\xba", place + 4)
    return Survey(fault)


def _follow(tail: bytes, place: int) -> int | None:
    """Where the packets from ``place`` on end: past ``tail`` where one is cut, None where something else lies there."""
    while place < len(tail):
        rest = tail[place : place + 14]
        if not rest.strip(b"\x00"):
            place += len(rest)  # padding
            continue
        if rest[: min(3, len(rest))] != b"\x00\x00\x01"[: len(rest)]:
            return None
        if len(rest) < 6:
            return place + 4 if rest[3:4] == bytes([_END]) else place + 14
        if rest[3] == _END:
            place += 4
        elif rest[3] == _PACK:
            if rest[4] >> 6 == 1:
                place += 14 + (rest[13] & 7 if len(rest) == 14 else 0)
            else:
                place += 12
        elif rest[3] > _PACK:
            place += 6 + struct.unpack_from(">H", rest, 4)[0]
        else:
            return None
    return place
