"""The few header bits that decide where decoding may begin; streams written by hand after the standards."""

from __future__ import annotations

import pytest
from vidcore.data import _bitstream as bits

START = b"\x00\x00\x01"


def test_nal_units_of_both_packings() -> None:
    assert list(bits.nal_units(START + b"\x65ab" + START + b"\x41", 0)) == [b"\x65ab", b"\x41"]
    assert list(bits.nal_units(b"\x00\x03\x65ab\x00\x01\x41", 2)) == [b"\x65ab", b"\x41"]
    assert list(bits.nal_units(b"\x00\x09\x65ab", 2)) == [], "a length beyond the packet ends it"
    assert list(bits.nal_units(b"", 4)) == []


def test_length_sizes() -> None:
    assert bits.nal_length_size("h264", b"\x01\x64\x00\x1f\xff") == 4
    assert bits.nal_length_size("h264", START + b"\x67") == 0
    assert bits.nal_length_size("hevc", b"\x01" + bytes(20) + b"\xfd") == 2
    assert bits.nal_length_size("hevc", None) == 0


@pytest.mark.parametrize(
    ("units", "starts"),
    [
        ([b"\x65\x88"], True),  # IDR
        ([b"\x06\x06\x01\xc4\x80", b"\x41\x9a"], True),  # recovery point: 0 frames, exact
        ([b"\x06\x06\x01\x84\x80", b"\x41\x9a"], False),  # recovery point: 0 frames, approximate
        ([b"\x06\x06\x01\x64\x80", b"\x41\x9a"], False),  # recovery point: one frame or more
        ([b"\x06\x05\x02\xc4\xc4\x06\x01\xc4\x80", b"\x41\x9a"], True),  # behind another message
        ([b"\x41\x9a", b"\x65\x88"], False),  # its first slice is not intra
        ([b"\x67\x64"], False),  # parameters only
    ],
)
def test_h264_random_access(units: list[bytes], starts: bool) -> None:
    assert bits.h264_starts(b"".join(START + unit for unit in units), 0) is starts


def test_hevc_pictures() -> None:
    assert bits.hevc_picture(START + b"\x40\x01" + START + b"\x26\x01\xaf", 0) == (19, 0)
    assert bits.hevc_picture(START + b"\x02\x03\xaf", 0) == (1, 2)
    assert bits.hevc_picture(START + b"\x40\x01", 0) is None
    assert [kind for kind in range(32) if bits.hevc_starts(kind)] == list(range(16, 22))
    assert [kind for kind in range(32) if bits.hevc_unreferenced(kind)] == [0, 2, 4, 6, 8, 10, 12, 14]


def test_mpeg4_coding_types() -> None:
    assert [bits.mpeg4_vop(bits.MPEG4_VOP + bytes([code << 6])) for code in range(4)] == ["I", "P", "B", "S"]
    assert bits.mpeg4_vop(b"\x7f") is None


def test_hidden_frames() -> None:
    assert bits.vp8_shown(b"\x10\x00\x00")
    assert not bits.vp8_shown(b"\x00\x00\x00")
    assert bits.vp9_shown(b"\x82\x00")  # profile 0, key frame, shown
    assert not bits.vp9_shown(b"\x80\x00")
    assert bits.vp9_shown(b"\x88\x00")  # shows a frame decoded before
    assert bits.vp9_shown(b"\x80\xc1")  # a superframe
    assert bits.vp9_shown(b"\xb1\x00")  # profile 3, one reserved bit more
    assert not bits.vp9_shown(b"\xb0\x00")
