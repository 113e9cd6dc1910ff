"""Containers whose parts simply follow one another: IVF, FLV, MXF and animated PNG.

Layouts: the IVF header of libvpx; Adobe's Flash Video File Format Specification 10.1, annex E; SMPTE 377-1, 6 and 7;
PNG Specification (Third Edition), 5.3.
"""

from __future__ import annotations

import struct

from ._bytes import MOST_STEPS, Bytes, Survey

_FLV_TAGS = (8, 9, 18)
_MXF_KEY = b"\x06\x0e\x2b\x34"


def ivf(file: Bytes) -> Survey:
    """Look whether the last frame is whole."""
    head = file.at(0, 32)
    if len(head) < 32:
        return Survey("it is cut short in its header")
    (place,) = struct.unpack_from("<H", head, 6)
    for _ in range(MOST_STEPS):
        if place >= file.size:
            return Survey()
        head = file.at(place, 12)
        end = place + 12 + (struct.unpack_from("<I", head)[0] if len(head) == 12 else 0)
        if end > file.size:
            return Survey(file.past_end("its last frame", end))
        place = end
    return Survey()


def flv(file: Bytes) -> Survey:
    """Look whether the last tag is whole."""
    head = file.at(0, 9)
    if len(head) < 9:
        return Survey("it is cut short in its header")
    (place,) = struct.unpack_from(">I", head, 5)
    for _ in range(MOST_STEPS):
        head = file.at(place, 15)  # size of the tag before, then type and size of this one
        if len(head) <= 4:
            return Survey(file.past_end("its last tag", place + 4) if 0 < len(head) < 4 else None)
        if head[4] & 31 not in _FLV_TAGS:
            return Survey()
        end = place + 15 + (int.from_bytes(head[5:8], "big") if len(head) >= 8 else 0)
        if end > file.size:
            return Survey(file.past_end("its last tag", end))
        place = end
    return Survey()


def mxf(file: Bytes) -> Survey:
    """Look whether every item lies in the file, and the footer that the header names."""
    place = 0
    for _ in range(MOST_STEPS):
        head = file.at(place, 64)
        if not head.startswith(_MXF_KEY):
            return Survey()
        if len(head) < 17:
            return Survey(f"it is cut short in an item's header, at byte {file.size}")
        extra = head[16] & 0x7F if head[16] & 0x80 else 0
        if extra > 8 or len(head) < 17 + extra:
            return Survey()
        size = int.from_bytes(head[17 : 17 + extra], "big") if extra else head[16]
        content = place + 17 + extra
        if content + size > file.size:
            return Survey(file.past_end("its last item", content + size))
        if place == 0 and size >= 32:
            (footer,) = struct.unpack(">Q", file.at(content + 24, 8))
            if footer > file.size:
                return Survey(file.past_end("its body", footer))
        place = content + size
    return Survey()


def apng(file: Bytes) -> Survey:
    """Look whether the chunk comes that ends the file."""
    place = 8
    for _ in range(MOST_STEPS):
        head = file.at(place, 8)
        if len(head) < 8:
            return Survey("it is cut short: the chunk that ends it is missing")
        if head[4:] == b"IEND":
            return Survey()
        place += 12 + int.from_bytes(head[:4], "big")
        if place > file.size:
            return Survey(file.past_end("its last chunk", place))
    return Survey()
