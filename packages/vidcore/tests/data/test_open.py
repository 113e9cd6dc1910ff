"""Names, limits, crops, colours and rates: how a file is opened and what is said about it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from vidcore.data._examine import examine
from vidcore.data._index import _steady
from vidcore.data._info import _varies
from vidcore.data.decode import VideoError, VideoReader, probe
from vidcore.data.limits import CLIP_BYTES, FRAME_PIXELS, FRAMES, LIMITS
from vidcore.errors import ConfigError

Encode = Callable[..., Path]


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "concat:a.mp4", "http:--a.mp4", "%03d.mp4", "a b#?.mp4", "cafe\u0301.mp4", "bad\udcff.mp4"]
)
def test_a_name_is_a_name(name: str, tmp_path: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    encode(tmp_path / "plain.mp4", "libx264", frames=3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (name, tmp_path / name):
        with VideoReader(path) as reader:
            assert len(reader) == 3


@pytest.mark.parametrize("name", ["x" * 300 + ".mp4", "a/" * 3000 + "b.mp4", "nul\0.mp4", "lone\ud800.mp4"])
def test_names_that_no_file_has(name: str) -> None:
    with pytest.raises(VideoError, match="cannot open"):
        VideoReader(name)
    assert examine(Path(name), [], decode=True)["stage"] == "open"


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", Path("/dev/zero")):
        with pytest.raises(VideoError, match="it is a device, a pipe or a socket"):
            VideoReader(path)
        assert "a pipe" in examine(path, [], decode=True)["reason"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ffconcat version 1.0\nfile '{0}'\n", "a text file that names other files"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{0}\n#EXT-X-ENDLIST\n", "a text file that names other files"),
        ("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "a text file"),
    ],
)
def test_a_playlist_is_not_followed(text: str, reason: str, tmp_path: Path, encode: Encode) -> None:
    video = encode(tmp_path / "real.mp4", "libx264", frames=3)
    for name in ("list.mp4", "list.m3u8", "list.ts"):
        (tmp_path / name).write_text(text.format(video.name))
        with pytest.raises(VideoError, match=reason):
            VideoReader(tmp_path / name)


def test_pictures_are_called_what_they_are(tmp_path: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8)) for i in range(4)]
    pictures[0].save(tmp_path / "still.png")
    pictures[0].save(tmp_path / "still.jpg")
    pictures[0].save(tmp_path / "moving.webp", save_all=True, append_images=pictures[1:])
    pictures[0].save(tmp_path / "moving.apng", save_all=True, append_images=pictures[1:], format="PNG")
    for name, what in (
        ("still.png", r"a still picture \(PNG\)"),
        ("still.jpg", r"a still picture \(JPEG\)"),
        ("moving.webp", "an animated WebP, which FFmpeg does not decode"),
    ):
        with pytest.raises(VideoError, match=f"it is {what}"):
            VideoReader(tmp_path / name)
    assert probe(tmp_path / "moving.apng").frames == 4


def bomb(path: Path, side: int = 16_000, frames: int = 10) -> Path:
    """A GIF of a few hundred bytes whose frames are ``side`` pixels square."""
    data = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    image = b"\x21\xf9\x04\x04\x0a\0\0\0\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\0"
    path.write_bytes(data + image * frames + b";")
    return path


def test_a_large_frame_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.gif")
    assert path.stat().st_size < 400
    script = (
        "import resource, sys\nfrom vidcore.data.decode import VideoError, probe\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: probe(sys.argv[1])\nexcept VideoError as error: print(error.reason)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    reason, grown = done.stdout.strip().splitlines()
    assert reason == "its frames are 16000x16000, 732 MiB each; at most 67,108,864 pixels are read"
    assert int(grown) * (1024 if sys.platform == "linux" else 1) < 50 << 20


def test_limits_are_changed_by_the_environment(tmp_path: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "a.mp4", "libx264", frames=12)
    monkeypatch.setenv(FRAME_PIXELS.variable, "3000")
    with pytest.raises(VideoError, match="its frames are 64x48") as caught:
        VideoReader(path)
    assert "vidcore --max-frame-pixels 3072 COMMAND" in caught.value.advice
    monkeypatch.setenv(FRAME_PIXELS.variable, "3072")
    monkeypatch.setenv(FRAMES.variable, "10")
    with VideoReader(path) as reader, pytest.raises(VideoError, match="it holds more than 10 frames"):
        len(reader)
    monkeypatch.setenv(FRAMES.variable, "12")
    monkeypatch.setenv(CLIP_BYTES.variable, "100000")
    with VideoReader(path) as reader:
        assert len(reader.read(range(10))) == 10
        with pytest.raises(VideoError, match=r"11 frames of 64x48 take 0\.0 GiB"):
            reader.read(range(11))
    for limit in LIMITS:
        for text in ("0", "-1", "x", "1e9", "9" * 30):
            monkeypatch.setenv(limit.variable, text)
            with pytest.raises(ConfigError, match=limit.variable):
                _ = limit.value


def test_a_table_of_a_billion_samples_is_refused_when_the_file_is_opened(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "a.mp4", "mpeg4", frames=3)
    data = bytearray(path.read_bytes())
    at = data.index(b"stsz") + 8
    data[at : at + 8] = struct.pack(">II", 1, 1_000_000_000)
    path.write_bytes(data)
    with pytest.raises(VideoError, match="it declares 1,000,000,000 samples in one table"):
        VideoReader(path)


@pytest.mark.parametrize(
    ("codec", "option", "crops"),
    [
        ("libx264", "h264_metadata", {"crop_left": 6, "crop_right": 2, "crop_top": 4}),
        ("libx265", "hevc_metadata", {"crop_left": 10, "crop_bottom": 2}),
    ],
)
def test_a_picture_cropped_at_its_left_is_cropped_exactly(
    codec: str, option: str, crops: dict[str, int], tmp_path: Path, encode: Encode
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = encode(tmp_path / "whole.ts", codec, size=(96, 80), frames=4, options=options)
    cropped = tmp_path / "cropped.ts"
    with av.open(str(path)) as source, av.open(str(cropped), "w") as target:
        crop = BitStreamFilterContext(
            f"{option}=" + ":".join(f"{name}={value}" for name, value in crops.items()), source.streams.video[0]
        )
        packets = [new for packet in source.demux(video=0) if packet.size for new in crop.filter(packet)]
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in packets:
            packet.stream = stream
            target.mux(packet)
    left, top = crops.get("crop_left", 0), crops.get("crop_top", 0)
    right, bottom = 96 - crops.get("crop_right", 0), 80 - crops.get("crop_bottom", 0)
    with av.open(str(path)) as container:
        luma = [frame.to_ndarray()[:80] for frame in container.decode(video=0)]
    with VideoReader(cropped) as reader:
        assert reader.size == (right - left, bottom - top)
        for index, frame in reader._decoder.frames(range(4)):
            assert (frame.width, frame.height) == reader.size
            np.testing.assert_array_equal(_luma(frame), luma[index][top:bottom, left:right])


def _luma(frame: av.VideoFrame) -> np.ndarray:
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8)
    return np.stack([rows[y * plane.line_size : y * plane.line_size + frame.width] for y in range(frame.height)])


def test_a_matrix_that_cannot_be_converted_is_read_as_untagged(tmp_path: Path, encode: Encode) -> None:
    plain = encode(tmp_path / "plain.ts", "libx264", frames=12)
    tagged = tmp_path / "ycgco.ts"
    with av.open(str(plain)) as source, av.open(str(tagged), "w") as target:
        tag = BitStreamFilterContext("h264_metadata=matrix_coefficients=8", source.streams.video[0])
        packets = [new for packet in source.demux(video=0) if packet.size for new in tag.filter(packet)]
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in packets:
            packet.stream = stream
            target.mux(packet)
    with VideoReader(plain) as reader:
        expected = reader.read([0, 1, 2]).numpy()
    with VideoReader(tagged) as reader:
        np.testing.assert_array_equal(reader.read([0, 1, 2]).numpy(), expected)
        notes = reader.info().notes
    assert notes == ("colour matrix 8 (YCgCo) cannot be converted: read as if the file stated none",)
    found = examine(tagged, [], decode=True)
    assert tuple(found["info"]["notes"]) == notes
    assert probe(plain).notes == ()


def test_frames_with_the_same_time_keep_it(tmp_path: Path, encode: Encode) -> None:
    starts = [i * 40 for i in range(50)]
    for k in (10, 20, 30):
        starts[k] = starts[k - 1]
    path = encode(tmp_path / "a.mkv", "libvpx", frames=50, fps=25)
    tied = tmp_path / "tied.mkv"
    with av.open(str(path)) as source, av.open(str(tied), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            packet.pts = packet.dts = starts[number]
            packet.time_base = Fraction(1, 1000)
            packet.stream = stream
            target.mux(packet)
    with VideoReader(tied) as reader:
        np.testing.assert_allclose(reader.times_seconds, np.asarray(starts) / 1000)


def test_a_clock_that_restarts_continues_and_one_that_stumbles_does_not_shift() -> None:
    assert _steady([0, 10, 20, 30, 0, 10, 20], 10) == [0, 10, 20, 30, 40, 50, 60]
    assert _steady([0, 10, 20, 15, 30, 40], 10) == [0, 10, 20, 20, 30, 40]
    assert _steady([0, 10, 10, 20], 10) == [0, 10, 10, 20]
    assert _steady([5, None, None, 35], 10) == [5, 15, 25, 35]


@pytest.mark.parametrize("rate", [25, 60, 120, 144, 240, 480])
def test_a_constant_rate_is_called_constant_on_a_clock_of_milliseconds(
    rate: int, tmp_path: Path, encode: Encode
) -> None:
    info = probe(encode(tmp_path / "fast.mkv", "libx264", fps=rate, frames=rate // 2))
    assert info.fps == pytest.approx(rate, rel=0.02)
    assert not info.variable_rate


def test_frames_left_out_are_a_variable_rate() -> None:
    assert _varies(np.delete(np.arange(100.0), 50) / 25, 1 / 25)
    assert _varies(np.delete(np.arange(100.0), 50) / 25, 1e-3)
    assert not _varies(np.floor(np.arange(100) * 1000 / 240) / 1000, 1e-3)


def test_the_rate_of_dv(tmp_path: Path, encode: Encode) -> None:
    path = encode(tmp_path / "pal.dv", "dvvideo", size=(720, 576), fps=25, frames=5)
    info = probe(path)
    assert (info.fps, info.frames, info.variable_rate) == (25.0, 5, False)
    whole = path.read_bytes()
    for cut in (200_000, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(VideoError, match="it is cut short in frame"):
            probe(path)
