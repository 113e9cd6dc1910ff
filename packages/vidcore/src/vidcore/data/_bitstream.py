"""What a compressed packet says about itself before anything is decoded.

Containers flag "keyframes" loosely: AVI flags dropped frames, MPEG-TS flags intra-refresh points that need the
pictures before them. Decoding may start exactly only at true random access points, so the few bytes that tell
are read here. Layouts: ITU-T H.264 7.3.1 and D.1.8, ITU-T H.265 7.3.1.2 and table 7-1, ISO/IEC 14496-2 6.2.5,
RFC 6386 9.1 (VP8), VP9 bitstream specification 6.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

Vop = Literal["I", "P", "B", "S"]

H264_NON_IDR, H264_IDR, H264_SEI = 1, 5, 6
HEVC_FIRST_IRAP, HEVC_LAST_IRAP, HEVC_LAST_NON_IRAP, HEVC_LAST_VCL = 16, 21, 14, 31
MPEG4_VOP = b"\x00\x00\x01\xb6"
RECOVERY_POINT = 6
# A not-coded VOP is a header of at most 19 bytes (time increments of up to 65535); a coded one of a usable size is not.
MPEG4_NOT_CODED_BYTES = 19


def nal_length_size(codec: str, extradata: bytes | None) -> int:
    """Bytes of the length before every NAL unit in avcC and hvcC streams; 0 where start codes separate them."""
    if not extradata or extradata[0] != 1:
        return 0
    at = 4 if codec == "h264" else 21
    return (extradata[at] & 3) + 1 if len(extradata) > at else 0


def nal_units(data: bytes, length_size: int) -> Iterator[bytes]:
    """NAL units of one access unit, without their lengths or start codes. Each is at least one byte long."""
    at = 0
    if length_size:
        while at + length_size < len(data):
            size = int.from_bytes(data[at : at + length_size], "big")
            at += length_size
            if size == 0 or at + size > len(data):
                return
            yield data[at : at + size]
            at += size
        return
    begin = data.find(b"\x00\x00\x01")
    while begin >= 0:
        end = data.find(b"\x00\x00\x01", begin + 3)
        unit = data[begin + 3 : end] if end >= 0 else data[begin + 3 :]
        if unit:
            yield unit
        begin = end


def h264_starts(data: bytes, length_size: int) -> bool:
    """Whether decoding may start here exactly: an IDR picture, or a recovery point of zero frames marked exact."""
    for unit in nal_units(data, length_size):
        kind = unit[0] & 31
        if kind == H264_IDR:
            return True
        if kind == H264_SEI and _exact_recovery(unit[1:]):
            return True
        if H264_NON_IDR <= kind < H264_IDR:
            return False
    return False


def _exact_recovery(sei: bytes) -> bool:
    # Messages are (type, size, payload), the first two in runs of 255. The payload begins with recovery_frame_cnt
    # as ue(v), one set bit for zero, then exact_match_flag.
    at = 0
    while at + 2 < len(sei):
        values = []
        for _ in range(2):
            value = 0
            while at < len(sei) and sei[at] == 255:
                value, at = value + 255, at + 1
            if at >= len(sei):
                return False
            values.append(value + sei[at])
            at += 1
        if values[0] == RECOVERY_POINT:
            return at < len(sei) and sei[at] & 0xC0 == 0xC0
        at += values[1]
    return False


def hevc_picture(data: bytes, length_size: int) -> tuple[int, int] | None:
    """NAL type and temporal layer of the access unit's first slice, or None where it has no slice."""
    for unit in nal_units(data, length_size):
        kind = (unit[0] >> 1) & 63
        if kind <= HEVC_LAST_VCL and len(unit) > 1:
            return kind, (unit[1] & 7) - 1
    return None


def hevc_starts(kind: int) -> bool:
    """Whether an HEVC picture is an intra random access point (pictures shown before it are not decodable from it)."""
    return HEVC_FIRST_IRAP <= kind <= HEVC_LAST_IRAP


def hevc_unreferenced(kind: int) -> bool:
    """Whether no picture *of the same temporal layer* refers to this one: the even types below the IRAP range."""
    return kind <= HEVC_LAST_NON_IRAP and kind % 2 == 0


def mpeg4_vop(data: bytes) -> Vop | None:
    """Coding type of an MPEG-4 part 2 packet's first picture, or None where it holds no picture."""
    at = data.find(MPEG4_VOP)
    if at < 0 or at + 4 >= len(data):
        return None
    kinds: tuple[Vop, ...] = ("I", "P", "B", "S")
    return kinds[data[at + 4] >> 6]


def vp8_shown(data: bytes) -> bool:
    """Whether a VP8 frame is shown (alternative reference frames are not)."""
    return bool(data[0] & 0x10)


def vp9_shown(data: bytes) -> bool:
    """Whether a VP9 packet shows a frame; a superframe always does."""
    if data[-1] & 0xE0 == 0xC0:
        return True
    shift = 1 if data[0] & 0x30 == 0x30 else 0  # profile 3 has one reserved bit more
    return bool((data[0] >> (3 - shift)) & 1 or (data[0] >> (1 - shift)) & 1)
