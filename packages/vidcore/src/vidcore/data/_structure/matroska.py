"""Matroska and WebM: elements of (identifier, size, content), sizes of live streams unknown. RFC 8794, RFC 9559."""

from __future__ import annotations

import zlib
from typing import NamedTuple

from ._bytes import MOST_STEPS, Bytes, Survey

EBML, SEGMENT, CLUSTER, CRC32 = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xBF
# Children of a segment: one of them ends a cluster of unknown size.
_LEVEL_1 = frozenset({0x114D9B74, 0x1549A966, 0x1654AE6B, CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367})
_READ_BYTES = 1 << 20


class _Element(NamedTuple):
    kind: int
    begin: int
    """Where its content begins."""
    size: int | None
    """None: unknown, as live streams have it."""


def survey(file: Bytes) -> Survey:
    """Look whether the segment lies in the file; where a live stream does not say, whether its last block does."""
    place = 0
    for _ in range(MOST_STEPS):
        element = _element(file, place)
        if element is None or element.kind not in (EBML, SEGMENT):
            break
        if element.size is None:
            return Survey(_live(file, element.begin)) if element.kind == SEGMENT else Survey()
        place = element.begin + element.size
        if place > file.size:
            return Survey(file.past_end("its segment" if element.kind == SEGMENT else "its header", place))
    return Survey()


def _live(file: Bytes, place: int) -> str | None:
    """Walk the children of a segment of unknown size, and those of its clusters of unknown size."""
    for _ in range(MOST_STEPS):
        if place >= file.size:
            return None
        element = _element(file, place)
        if element is None:
            # Padding is no element; a header of which bytes are missing is one cut in the middle.
            rest = file.at(place, 12)
            return f"it is cut short in an element's header, at byte {file.size}" if _begins(rest) else None
        if element.size is None:
            if element.kind not in (CLUSTER, SEGMENT):
                return None
            place = element.begin
            continue
        place = element.begin + element.size
        if place > file.size:
            return file.past_end("its last cluster" if element.kind == CLUSTER else "its last block", place)
    return None


def _element(file: Bytes, place: int) -> _Element | None:
    head = file.at(place, 12)
    id_bytes = _width(head, 0, 4)
    size_bytes = _width(head, id_bytes, 8) if id_bytes else 0
    if not size_bytes or len(head) < id_bytes + size_bytes:
        return None
    size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
    unknown = size == (1 << 7 * size_bytes) - 1
    return _Element(int.from_bytes(head[:id_bytes], "big"), place + id_bytes + size_bytes, None if unknown else size)


def _width(head: bytes, at: int, most: int) -> int:
    """Bytes of the number that begins at ``at``, by the zeros its first byte begins with; 0 where there is none."""
    if at >= len(head) or head[at] == 0:
        return 0
    width = 9 - head[at].bit_length()
    return width if width <= most else 0


def _begins(rest: bytes) -> bool:
    """Whether bytes at the end of the file are the beginning of an element's header."""
    id_bytes = _width(rest, 0, 4)
    if not rest or not id_bytes:
        return False
    if len(rest) <= id_bytes:
        return True
    size_bytes = _width(rest, id_bytes, 8)
    return bool(size_bytes) and len(rest) < id_bytes + size_bytes


def wrong_checksum(file: Bytes) -> str | None:
    """Which of a segment's children does not have the CRC-32 it begins with; most writers of Matroska put one there."""
    place = 0
    for _ in range(MOST_STEPS):
        element = _element(file, place)
        if element is None:
            return None
        if element.kind in (SEGMENT, CLUSTER) and element.size is None:
            place = element.begin
            continue
        if element.size is None:
            return None
        end = element.begin + element.size
        if element.kind == SEGMENT:
            place = element.begin
            continue
        if element.kind in _LEVEL_1 and end <= file.size:
            checksum = _element(file, element.begin)
            if checksum is not None and checksum.kind == CRC32 and checksum.size == 4:
                expected = int.from_bytes(file.at(checksum.begin, 4), "little")
                if _crc(file, checksum.begin + 4, end) != expected:
                    what = "cluster" if element.kind == CLUSTER else "header"
                    return f"the {what} at byte {place} does not have its checksum"
        place = end
    return None


def _crc(file: Bytes, begin: int, end: int) -> int:
    value = 0
    for place in range(begin, end, _READ_BYTES):
        value = zlib.crc32(file.at(place, min(_READ_BYTES, end - place)), value)
    return value
