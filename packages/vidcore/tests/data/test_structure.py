"""Whole files open with every frame a plain decode shows; files cut anywhere are refused where the container tells."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from vidcore.data._structure import survey
from vidcore.data.decode import VideoError, VideoReader, probe

Encode = Callable[..., Path]
Sequential = Callable[[Path], np.ndarray]
X264 = {"codec": "libx264", "options": {"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=3"}}
CONTAINERS: dict[str, dict[str, object]] = {
    "end.mp4": X264,
    "front.mp4": {**X264, "container_options": {"movflags": "faststart"}},
    "fragments.mp4": {**X264, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "indexed.mp4": {**X264, "container_options": {"movflags": "dash+global_sidx+frag_keyframe"}},
    "whole.mkv": X264,
    "live.mkv": {**X264, "container_options": {"live": "1"}},
    "whole.webm": {"codec": "libvpx"},
    "live.webm": {"codec": "libvpx", "container_options": {"live": "1"}},
    "video.ogv": {"codec": "libvpx"},
    "video.ivf": {"codec": "libvpx"},
    "video.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "video.flv": X264,
    "video.ts": X264,
    "video.m2ts": X264,
    "video.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "video.mxf": {"codec": "mpeg2video", "size": (64, 64), "fps": 25},
    "video.wmv": {"codec": "wmv2"},
    "video.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "video.apng": {"codec": "apng", "pix_fmt": "rgb24"},
    "video.y4m": {"codec": "wrapped_avframe"},
}
CUTS = 18


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_cut_anywhere_is_refused_and_the_whole_one_is_not(
    name: str, tmp_path: Path, encode: Encode, sequential: Sequential
) -> None:
    path = encode(tmp_path / name, **CONTAINERS[name])
    whole = path.read_bytes()
    np.testing.assert_array_equal(frames_of(path), sequential(path))
    accepted = []
    for cut in range(1, CUTS + 1):
        path.write_bytes(whole[: len(whole) * cut // (CUTS + 1) | 1])  # odd: not between two packets of MPEG-TS
        try:
            with VideoReader(path) as reader:
                accepted.append((cut, len(reader)))
        except VideoError as error:
            assert error.stage in ("open", "demux")
    # A cut exactly between two tags of FLV cannot be seen.
    assert len(accepted) <= (name == "video.flv"), accepted


def frames_of(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        assert reader.verify() == len(reader)
        return reader.read(range(len(reader))).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("name", "tail"),
    [("video.gif", b"\n"), ("video.avi", b"junk" * 100), ("end.mp4", bytes(100)), ("front.mp4", b"\xff" * 100),
     ("whole.mkv", b"\x00" * 64), ("video.flv", b"\x00" * 64)],
)  # fmt: skip
def test_bytes_after_the_end_are_no_fault(
    name: str, tail: bytes, tmp_path: Path, encode: Encode, sequential: Sequential
) -> None:
    path = encode(tmp_path / name, **CONTAINERS[name])
    expected = sequential(path)
    path.write_bytes(path.read_bytes() + tail)
    np.testing.assert_array_equal(frames_of(path), expected)


def boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while begin < end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        yield kind, begin, begin + size
        begin += size


def edited(data: bytes, entries: list[tuple[int, int]], begin: int = 0, end: int | None = None) -> bytes:
    """An MP4 whose sample tables come last, with another edit list: (milliseconds, first time on the media's clock)."""
    out = b""
    for kind, first, last in boxes(data, begin, len(data) if end is None else end):
        if kind == b"elst":
            body = struct.pack(">II", 0, len(entries)) + b"".join(struct.pack(">IiHH", *e, 1, 0) for e in entries)
            out += struct.pack(">I4s", 8 + len(body), kind) + body
        elif kind in (b"moov", b"trak", b"edts"):
            inner = edited(data, entries, first + 8, last)
            out += struct.pack(">I4s", 8 + len(inner), kind) + inner
        else:
            out += data[first:last]
    return out


@pytest.mark.parametrize(
    ("entries", "shown"),
    [
        ([(500, 20)], 15),  # whole groups of pictures before and after are hidden: a phone's lossless trim
        ([(500, 5), (500, 40)], 30),
        ([(1000, None), (500, 20)], 15),  # nothing is shown in the first second
        ([(500, 20), (500, 20)], None),
        ([(900_000, 0)], 60),  # longer than the video
    ],
)
def test_edit_lists_show_what_ffmpeg_shows(
    entries: list[tuple[int, int | None]], shown: int | None, tmp_path: Path, encode: Encode, sequential: Sequential
) -> None:
    path = encode(tmp_path / "trim.mp4", **X264, frames=60)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        first = min(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        tick = round(1 / (30 * stream.time_base))
    whole = path.read_bytes()
    path.write_bytes(
        edited(whole, [(ms, -1 if start is None else start * tick + max(first, 0) + 2 * tick) for ms, start in entries])
    )
    expected = sequential(path)
    assert shown is None or abs(len(expected) - shown) <= 2
    np.testing.assert_array_equal(frames_of(path), expected)


def test_a_duration_that_another_track_lasts_is_no_promise(
    tmp_path: Path, encode: Encode, sequential: Sequential
) -> None:
    path = encode(tmp_path / "subtitled.mkv", **X264)
    data = path.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # Duration, eight bytes
    path.write_bytes(data[:at] + struct.pack(">d", 12_000.0) + data[at + 8 :])
    with av.open(str(path)) as container:
        assert container.duration == 12_000_000
    with VideoReader(path) as reader:
        assert len(reader) == len(sequential(path)) == 40


def test_a_last_picture_that_stands(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "source.mkv", "libx264", options={"bf": "0"})
    stands = tmp_path / "stands.mkv"
    with av.open(str(path)) as source, av.open(str(stands), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        packets[-1].duration = 5000
        for packet in packets:
            packet.stream = stream
            target.mux(packet)
    info = probe(stands)
    assert info.frames == 40
    assert info.duration_seconds == pytest.approx(39 / 30 + 5, abs=0.01)


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "libx264"])
def test_slots_that_hold_no_picture_are_not_missing(
    codec: str, tmp_path: Path, encode: Encode, sequential: Sequential
) -> None:
    starts = [0, 1, 2, 3, 10, 11, 25, 30]
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = encode(tmp_path / "dropped.avi", codec, frames=8, pts=starts, pix_fmt=pix_fmt, options={"bf": "0"}, fps=25)
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > 8, "the header counts slots"
    np.testing.assert_array_equal(frames_of(path), sequential(path))
    with VideoReader(path) as reader:
        np.testing.assert_allclose(reader.times_seconds, np.asarray(starts) / 25)


def test_a_video_of_one_picture(tmp_path: Path, encode: Encode) -> None:
    for name, codec in (("one.avi", "mjpeg"), ("one.mkv", "libx264"), ("one.gif", "gif"), ("one.ivf", "libvpx")):
        pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
        assert len(frames_of(encode(tmp_path / name, codec, frames=1, pix_fmt=pix_fmt))) == 1


def test_an_index_that_names_more_than_the_file_holds(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "lost.avi", "mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for packet in packets[20:24]:
        data[packet.pos - 8 : packet.pos + 4] = bytes(12)  # chunk headers and what JPEG begins with
    path.write_bytes(data)
    with pytest.raises(VideoError):
        frames_of(path)


def test_lengths_of_hostile_files_lead_nowhere(tmp_path: Path) -> None:
    # Every walk answers random bytes behind each container's first bytes quickly and without an exception.
    heads = {
        "mov,mp4,m4a,3gp,3g2,mj2": b"\x00\x00\x00\x10ftypisom\x00\x00\x02\x00",
        "matroska,webm": b"\x1a\x45\xdf\xa3\x84\x42\x86\x81\x01\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",
        "avi": b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffmovi",
        "ogg": b"OggS\x00\x02",
        "gif": b"GIF89a\x10\x00\x10\x00\xff\x00\x00",
        "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
        "flv": b"FLV\x01\x05\x00\x00\x00\x09",
        "ivf": b"DKIF\x00\x00\x20\x00",
        "mxf": b"\x06\x0e\x2b\x34",
        "mpegts": b"\x47" + bytes(187),
        "mpeg": b"\x00\x00\x01\xba",
        "apng": b"\x89PNG\r\n\x1a\n",
    }
    draw = np.random.default_rng(0)
    path = tmp_path / "hostile"
    for container, head in heads.items():
        for _ in range(40):
            path.write_bytes(head + draw.bytes(int(draw.integers(0, 3000))))
            survey(path, container)
        for filler in (b"\x00", b"\xff", b"\x00\x00\x00\x01", b"\x00\x00\x00\x08free"):
            path.write_bytes(head + filler * 1000)
            survey(path, container)
