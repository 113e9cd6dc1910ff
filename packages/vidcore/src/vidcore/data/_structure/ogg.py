"""Ogg: pages with a serial number, a checksum and a flag on a stream's last one. RFC 3533, 6."""

from __future__ import annotations

import zlib

from ._bytes import MOST_STEPS, Bytes, Survey

_FIRST, _LAST = 2, 4
_HEADER_BYTES = 27
_VIDEO = (b"\x80theora", b"OVP80", b"BBCD", b"\x01video", b"\x80daala")
# Ogg's CRC takes each byte's highest bit first, zlib's the lowest: the same over mirrored bits.
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def survey(file: Bytes) -> Survey:
    """Look whether every page is whole, whether its checksum is right, and whether the video's last page is there."""
    place = 0
    video: set[int] = set()
    ended: set[int] = set()
    for _ in range(MOST_STEPS):
        if place >= file.size:
            break
        head = file.at(place, _HEADER_BYTES + 255)
        if head[:4] != b"OggS":
            # FFmpeg looks for the next page, and so would lose what lies between.
            return (
                Survey(f"it is damaged: there is no Ogg page at byte {place}")
                if file.at(place, 4).strip(b"\x00")
                else Survey(_ended(video, ended))
            )
        table = head[_HEADER_BYTES : _HEADER_BYTES + head[26]] if len(head) >= _HEADER_BYTES else b""
        if len(head) < _HEADER_BYTES or len(table) < head[26]:
            return Survey(f"it is cut short in a page's header, at byte {file.size}")
        end = place + _HEADER_BYTES + len(table) + sum(table)
        if end > file.size:
            return Survey(file.past_end("its last page", end))
        page = file.at(place, end - place)
        if _crc(page) != int.from_bytes(page[22:26], "little"):
            return Survey(f"it is damaged: the Ogg page at byte {place} does not have its checksum")
        serial = int.from_bytes(page[14:18], "little")
        if page[5] & _FIRST and page[_HEADER_BYTES + len(table) :].startswith(_VIDEO):
            video.add(serial)
        if page[5] & _LAST:
            ended.add(serial)
        place = end
    return Survey(_ended(video, ended))


def _ended(video: set[int], ended: set[int]) -> str | None:
    return None if video <= ended else "it is cut short: the page that ends its video stream is missing"


def _crc(page: bytes) -> int:
    bare = page[:22] + b"\x00\x00\x00\x00" + page[26:]
    mirrored = zlib.crc32(bare.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
