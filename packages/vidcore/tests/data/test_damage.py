"""Half of one packet destroyed is told wherever the codec or the container can tell."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from vidcore.data._damage import damage_check
from vidcore.data._examine import examine
from vidcore.data.decode import VideoError, VideoReader

Encode = Callable[..., Path]
INTRA = 12
"""Number of a packet that is large in every codec: the first of the second group of pictures."""
# What tells each is another mechanism: the decoder, error detection that is switched on, the packet, the container.
TOLD: dict[str, dict[str, object]] = {
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "msmpeg4.avi": {"codec": "msmpeg4", "size": (320, 240)},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "png.mov": {"codec": "png", "pix_fmt": "rgb24"},
    "animation.apng": {"codec": "apng", "pix_fmt": "rgb24"},
    "jpeg2000.mov": {"codec": "jpeg2000"},
    "dv.avi": {"codec": "dvvideo", "size": (720, 576), "fps": 25, "frames": 16},
    "wmv.wmv": {"codec": "wmv2", "size": (320, 240)},
    "vp8.ogv": {"codec": "libvpx"},
    "animation.gif": {"codec": "gif", "pix_fmt": "rgb8"},
}
# Their bits decode to a picture, whatever they are; docs/videos.md names them. In MKV a checksum is compared.
UNSEEN: dict[str, dict[str, object]] = {
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
    "huffyuv.avi": {"codec": "huffyuv", "pix_fmt": "yuv422p"},
    "qtrle.mov": {"codec": "qtrle", "pix_fmt": "rgb24"},
}


def damaged(path: Path, number: int, how: str) -> Path:
    """``path`` with the second half of one packet's bytes zeroed or random."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    # Program streams state the place of few packets.
    packet = next(packet for packet in [*packets[number:], *packets] if packet.pos is not None)
    assert packet.pos is not None
    begin, end = packet.pos + packet.size // 2, packet.pos + packet.size
    data = bytearray(path.read_bytes())
    data[begin:end] = bytes(end - begin) if how == "zeros" else random.Random(number).randbytes(end - begin)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("how", ["zeros", "random"])
@pytest.mark.parametrize("name", TOLD)
def test_half_a_packet_destroyed_is_told(name: str, how: str, tmp_path: Path, encode: Encode) -> None:
    path = damaged(encode(tmp_path / name, **TOLD[name]), INTRA, how)
    with pytest.raises(VideoError) as caught, VideoReader(path) as reader:
        reader.read(range(len(reader)))
    assert caught.value.stage in ("decode", "demux")


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_zero_bytes_in_h264_and_h265_are_told(codec: str, tmp_path: Path, encode: Encode) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = encode(tmp_path / "wiped.mp4", codec, size=(64, 64), options=options)
    path = damaged(path, INTRA, "zeros")
    with pytest.raises(VideoError, match="part of it is zero bytes"), VideoReader(path) as reader:
        reader.read(range(len(reader)))


@pytest.mark.parametrize("name", UNSEEN)
def test_the_codecs_named_in_the_docs_are_those_that_do_not_tell(name: str, tmp_path: Path, encode: Encode) -> None:
    # Where one of these fails, FFmpeg has learnt to tell: take it off the list in docs/videos.md.
    path = damaged(encode(tmp_path / name, **UNSEEN[name]), INTRA, "zeros")
    with VideoReader(path) as reader:
        reader.read(range(len(reader)))


def test_checksums_of_matroska_are_compared_by_the_check_only(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "ffv1.mkv", "ffv1", options={"level": "1"})
    assert "info" in examine(path, [], decode=True)
    path = damaged(path, INTRA, "random")
    with VideoReader(path) as reader:
        reader.read(range(len(reader)))
        with pytest.raises(VideoError, match=r"the cluster at byte .* does not have its checksum"):
            reader.verify()
    assert "does not have its checksum" in examine(path, [], decode=True)["reason"]
    assert "info" in examine(path, [], decode=False)


def test_padding_is_no_damage() -> None:
    check = damage_check("h264", 4)
    assert check is not None

    def unit(body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + body

    picture = b"\x65" + b"\x88" * 400
    assert check(unit(picture)) is None
    assert check(unit(picture + bytes(40))) is None, "some writers pad"
    assert check(unit(picture[:200] + bytes(200))) is not None
    assert check(unit(picture[:100] + bytes(20) + picture)) is not None
    assert damage_check("h264", 0) is None, "between start codes zeros may stand"
    jpeg = damage_check("mjpeg", 0)
    assert jpeg is not None
    assert jpeg(b"\xff\xd8" + b"\x11" * 400 + b"\xff\xd9" + bytes(400)) is None
    assert jpeg(b"\xff\xd8" + b"\x11" * 400) is None, "some cameras leave the end marker out"
    assert jpeg(b"\xff\xd8" + b"\x11" * 200 + bytes(200)) is not None
