"""ASF (WMV): objects, and packets of equal size that hold pieces of media objects.

Layout: Microsoft's Advanced Systems Format Specification 01.20.06, 2, 3.2, 3.3 and 5.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ._bytes import MOST_STEPS, Bytes, Survey

_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_BROADCAST = 1
_DATA_HEADER_BYTES = 50
# Lengths of numbers by their two-bit code.
_WIDTHS = (0, 1, 2, 4)


@dataclass(slots=True)
class _Header:
    packet: int = 0
    """Bytes of each packet; 0 where they differ."""
    live: bool = False
    videos: set[int] = field(default_factory=set)


def survey(file: Bytes) -> Survey:
    """Look whether the objects lie in the file, and whether all pieces of the pictures are in the packets."""
    place, header = 0, _Header()
    fault: str | None = None
    for _ in range(MOST_STEPS):
        head = file.at(place, 24)
        if len(head) < 24:
            break
        kind, (size,) = head[:16], struct.unpack_from("<Q", head, 16)
        if kind == _HEADER:
            header = _read_header(file, place + 30, min(place + size, file.size))
        if kind == _DATA:
            unstated = header.live or size < _DATA_HEADER_BYTES
            end = file.size if unstated else place + size
            first = place + _DATA_HEADER_BYTES
            if unstated and header.packet:
                end = first + (file.size - first) // header.packet * header.packet
                # What follows may be an index, whose identifier begins otherwise than a packet.
                if file.at(end, 1) == file.at(first, 1):
                    end += header.packet
            if end > file.size:
                return Survey(file.past_end("its last packet" if unstated else "its data", end))
            fault = _lost_pieces(file, first, end, header)
            if unstated:
                break
        if size < 24:
            break
        if place + size > file.size:
            return Survey(file.past_end("one of its objects", place + size))
        place += size
    return Survey(fault)


def _read_header(file: Bytes, place: int, end: int) -> _Header:
    header = _Header()
    while place + 24 <= end:
        head = file.at(place, 104)
        (size,) = struct.unpack_from("<Q", head, 16)
        if head[:16] == _FILE and len(head) == 104:
            flags, least, most = struct.unpack_from("<III", head, 88)
            header.packet = least if least == most else 0
            header.live = bool(flags & _BROADCAST)
        elif head[:16] == _STREAM and head[24:40] == _VIDEO and len(head) >= 74:
            header.videos.add(struct.unpack_from("<H", head, 72)[0] & 0x7F)
        if size < 24:
            break
        place += size
    return header


def _lost_pieces(file: Bytes, begin: int, end: int, header: _Header) -> str | None:
    """Follow the media objects of the video streams: each begins where the one before is complete."""
    if not header.packet:
        return None
    held: dict[int, tuple[int, int, int]] = {}  # stream: (number, bytes so far, bytes in all) of its last object
    for number, place in enumerate(range(begin, end - header.packet + 1, header.packet)):
        if number == MOST_STEPS:
            break
        damaged = f"it is damaged: packet {number} of its data cannot be read"
        try:
            for stream, serial, offset, whole, length in _pieces(file.at(place, header.packet)):
                if stream not in header.videos:
                    continue
                before, got, wanted = held.get(stream, (serial, 0, 0))
                if offset == 0:
                    if got < wanted:
                        return damaged
                    held[stream] = (serial, length, whole)
                elif serial == before and offset == got and stream in held:
                    held[stream] = (serial, got + length, wanted)
                elif stream in held:
                    return damaged
        except (IndexError, ValueError):
            return damaged
    return (
        "it is cut short: pieces of its last picture are missing" if any(g < w for _, g, w in held.values()) else None
    )


def _pieces(packet: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """``(stream, object number, offset in the object, object size, bytes)`` of each piece in a packet.

    Raises:
        IndexError, ValueError: The packet is not laid out as one.
    """
    at = 0
    if packet[0] & 0x80:
        if packet[0] & 0x60:
            raise ValueError("error correction of an unknown kind")
        at = 1 + (packet[0] & 0x0F)
    lengths, widths = packet[at], packet[at + 1]
    at += 2
    size, at = _number(packet, at, lengths >> 5 & 3)
    _, at = _number(packet, at, lengths >> 1 & 3)
    padding, at = _number(packet, at, lengths >> 3 & 3)
    at += 6
    end = (size or len(packet)) - padding
    count, length_code = 1, 0
    if lengths & 1:
        count, length_code = packet[at] & 0x3F, packet[at] >> 6
        at += 1
    if end > len(packet) or at > end:
        raise ValueError("longer than a packet")
    for _ in range(count):
        stream = packet[at] & 0x7F
        serial, at = _number(packet, at + 1, widths >> 4 & 3)
        offset, at = _number(packet, at, widths >> 2 & 3)
        replicated, at = _number(packet, at, widths & 3)
        whole = 0
        if replicated >= 8:
            whole = int.from_bytes(packet[at : at + 4], "little")
        elif replicated == 1:
            offset = 0  # whole small objects follow; the number is a time
        at += replicated
        length = end - at
        if lengths & 1:
            length, at = _number(packet, at, length_code)
        if length < 0 or at + length > end:
            raise ValueError("longer than its packet")
        yield stream, serial, offset, whole, length
        at += length


def _number(packet: bytes, at: int, code: int) -> tuple[int, int]:
    width = _WIDTHS[code]
    return int.from_bytes(packet[at : at + width], "little"), at + width
