"""Damage that a packet shows before it is decoded, for codecs whose decoders in FFmpeg hide it.

Layouts: IEC 61834-2 (DV: blocks of 80 bytes, each with its section's number in three bits), ISO/IEC 15444-1 A.4.4 and
ITU-T T.81 B.1.1.3 (JPEG 2000 and JPEG end with a marker), ITU-T H.264 and H.265 7.4.1 (a unit never holds three zero
bytes in a row).
"""

from __future__ import annotations

from collections.abc import Callable

from ._bitstream import nal_units

_DV_BLOCK_BYTES, _DV_SEQUENCE_BLOCKS = 80, 150
# One header block, two of subcode, three auxiliary, then nine times one of sound and fifteen of video.
_DV_SECTIONS = bytes([0, 1, 1, 2, 2, 2, *([3, *[4] * 15] * 9)])
_SECTION = bytes(byte >> 5 for byte in range(256))
# Writers that pad units with zero bytes add few; a part of a packet that was wiped is longer, or not at its end.
_ZEROS = bytes(16)
_MOST_PADDING = 1 / 3


def damage_check(codec: str, length_size: int) -> Callable[[bytes], str | None] | None:
    """What looks at this codec's packets and says what is wrong; None where decoders tell, or nothing can.

    Args:
        codec: FFmpeg's name.
        length_size: Bytes of the length before each unit of H.264 and H.265; 0 in streams with start codes, where zero
            bytes between units are allowed.
    """
    if codec == "dvvideo":
        return _dv
    if codec == "jpeg2000":
        return _jpeg2000
    if codec == "mjpeg":
        return _mjpeg
    if codec in ("h264", "hevc") and length_size:
        return lambda data: _zeros(data, length_size)
    return None


def _dv(data: bytes) -> str | None:
    sections = data[::_DV_BLOCK_BYTES].translate(_SECTION)
    whole = len(sections) // _DV_SEQUENCE_BLOCKS
    if sections[: whole * _DV_SEQUENCE_BLOCKS] != _DV_SECTIONS * whole:
        return "its DV blocks are not in order"
    return None


def _jpeg2000(data: bytes) -> str | None:
    return None if data.rstrip(b"\x00").endswith(b"\xff\xd9") else "its JPEG 2000 picture has no end"


def _mjpeg(data: bytes) -> str | None:
    # Some cameras leave the end marker out and some pad with zeros; those that do both have not been seen.
    bare = data.rstrip(b"\x00")
    if not bare.endswith(b"\xff\xd9") and len(data) - len(bare) >= max(len(_ZEROS), len(data) // 4):
        return "its end is zero bytes"
    return None


def _zeros(data: bytes, length_size: int) -> str | None:
    if _ZEROS not in data:
        return None
    for unit in nal_units(data, length_size):
        bare = unit.rstrip(b"\x00")
        if _ZEROS in bare or (len(unit) - len(bare) >= len(_ZEROS) and len(bare) < (1 - _MOST_PADDING) * len(unit)):
            return "part of it is zero bytes, which no picture holds"
    return None
