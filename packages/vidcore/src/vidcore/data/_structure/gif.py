"""GIF: blocks up to a trailer. GIF89a specification (CompuServe, 1990)."""

from __future__ import annotations

from ._bytes import MOST_STEPS, Bytes, Survey

_READ_BYTES = 1 << 16
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B


def survey(file: Bytes) -> Survey:
    """Walk the blocks: whether the trailer comes, wherever it lies, and how many images before it."""
    head = file.at(0, 13)
    if len(head) < 13:
        return Survey("it is cut short in its header")
    place = 13 + _table_bytes(head[10])
    images = 0
    for _ in range(MOST_STEPS):
        kind = file.at(place, 1)
        if not kind:
            return Survey(f"it is cut short: the GIF stops after {images} frames without its end", images)
        if kind[0] == _TRAILER:
            return Survey(None, images)
        if kind[0] == 0:  # padding between blocks, which players skip
            place += 1
            continue
        if kind[0] == _EXTENSION:
            place += 2
        elif kind[0] == _IMAGE:
            place += 10
            flags = file.at(place - 1, 1)
            place += 1 + (_table_bytes(flags[0]) if flags else 0)
        else:
            return Survey(f"it is damaged: after {images} frames, byte {place} begins no GIF block", images)
        after = _after_data(file, place)
        if after is None:
            return Survey(f"it is cut short: the GIF stops in frame {images} without its end", images)
        place = after
        images += kind[0] == _IMAGE
    return Survey(None, None)


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_data(file: Bytes, place: int) -> int | None:
    """Where a run of sub-blocks, each with its length before it, ends; None where the file ends before."""
    while data := file.at(place, _READ_BYTES):
        at = 0
        while at < len(data):
            size = data[at]
            at += 1 + size
            if size == 0:
                return place + at
        place += at
    return None
