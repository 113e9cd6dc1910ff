"""Sparse reads equal the sequential decode bit for bit, cost less, and refuse what is broken."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from vidcore.data.decode import VideoError, VideoReader, probe
from vidcore.errors import DecodeError

X264 = "keyint=12:min-keyint=12:scenecut=0:bframes=3"
X265 = "keyint=12:bframes=4:log-level=none"
# name: how it is encoded, and what reading the last of 40 frames may cost at most in decoded frames. Where only a full
# decode tells which frames there are, that costs 40 more.
ENCODINGS: dict[str, tuple[dict[str, object], int]] = {
    "closed.mp4": ({"codec": "libx264", "options": {"x264-params": X264}}, 6),
    "open_gop.mkv": ({"codec": "libx264", "options": {"x264-params": f"{X264}:open-gop=1:b-pyramid=normal"}}, 6),
    "intra_refresh.mp4": ({"codec": "libx264", "options": {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}}, 40),
    "fragmented.mp4": (
        {
            "codec": "libx264",
            "options": {"x264-params": X264},
            "container_options": {"movflags": "frag_keyframe+empty_moov"},
        },
        6,
    ),
    "interlaced.mkv": ({"codec": "libx264", "options": {"x264-params": f"{X264}:tff=1"}}, 6),
    "ten_bit.mkv": ({"codec": "libx264", "pix_fmt": "yuv420p10le", "options": {"x264-params": X264}}, 6),
    "odd_444.mp4": (
        {"codec": "libx264", "pix_fmt": "yuv444p", "size": (65, 47), "options": {"x264-params": X264}},
        6,
    ),
    "transport.ts": ({"codec": "libx264", "options": {"x264-params": X264}}, 46),
    "reordered.avi": ({"codec": "libx264", "options": {"x264-params": X264}}, 46),
    "hevc_open.mp4": ({"codec": "libx265", "options": {"x265-params": f"{X265}:open-gop=1"}}, 8),
    "hevc_layers.mp4": ({"codec": "libx265", "options": {"x265-params": f"{X265}:temporal-layers=3:b-pyramid=1"}}, 8),
    "mpeg4.mp4": ({"codec": "mpeg4", "options": {"bf": "2"}, "size": (320, 240)}, 46),
    "mpeg2.mpg": ({"codec": "mpeg2video", "options": {"bf": "2"}}, 46),
    "alt_ref.webm": ({"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "12"}}, 12),
    "vp9.webm": ({"codec": "libvpx-vp9", "options": {"auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "8"}}, 12),
    "intra.mkv": ({"codec": "ffv1", "pix_fmt": "yuv444p", "gop": 1}, 1),
    "gray.mkv": ({"codec": "ffv1", "pix_fmt": "gray"}, 12),
    "mjpeg.avi": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, 1),
    "animation.gif": ({"codec": "gif", "pix_fmt": "rgb8"}, 40),
}
FORTY = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., Path]) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("videos")

    def make(name: str) -> Path:
        path = folder / name
        return path if path.exists() else encode(path, **ENCODINGS[name][0])

    return make


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize(("keep_bytes", "threads"), [(2**25, 1), (0, 1), (2**25, 2)])
def test_any_frames_equal_the_sequential_decode(
    name: str, keep_bytes: int, threads: int, made: Callable[[str], Path], sequential: Callable[[Path], np.ndarray]
) -> None:
    path = made(name)
    expected = sequential(path)
    draw = np.random.default_rng(0)
    with VideoReader(path, keep_bytes=keep_bytes, threads=threads) as reader:
        assert len(reader) == len(expected) == FORTY
        for count in (1, 1, 1, 1, 2, 3, 5, 8):
            wanted = draw.integers(0, FORTY, count).tolist()  # unsorted, with repeats
            frames = reader.read(wanted)
            assert frames.dtype == torch.uint8
            assert frames.shape == (count, 3, *expected.shape[1:3])
            np.testing.assert_array_equal(frames.permute(0, 2, 3, 1).numpy(), expected[wanted], err_msg=str(wanted))
        everything = torch.stack([frame for _, frame in reader.frames()])
        np.testing.assert_array_equal(everything.permute(0, 2, 3, 1).numpy(), expected)


@pytest.mark.parametrize("name", ENCODINGS)
def test_reading_the_last_frame_decodes_no_more_than_it_needs(name: str, made: Callable[[str], Path]) -> None:
    with VideoReader(made(name)) as reader:
        reader.read([FORTY - 1])
        assert 1 <= reader.frames_decoded <= ENCODINGS[name][1]


def test_unwanted_pictures_that_nothing_refers_to_are_not_decoded(tmp_path: Path, encode: Callable[..., Path]) -> None:
    options = {"x264-params": "keyint=60:scenecut=0:bframes=3:b-adapt=0:b-pyramid=none"}
    path = encode(tmp_path / "b.mp4", "libx264", options=options, frames=41, gop=60)
    with VideoReader(path) as reader:
        reader.read([0, 40])
        # Every fourth picture is a reference, I or P: 0, 4, ... 40.
        assert reader.frames_decoded == 11


def test_decoding_stops_at_the_last_wanted_frame(made: Callable[[str], Path]) -> None:
    with VideoReader(made("gray.mkv")) as reader:
        reader.read([2])
        assert reader.frames_decoded == 3
        reader.read([14])  # groups of 12: from 12
        assert reader.frames_decoded == 6


def test_large_files_are_read_again_by_seeking(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with VideoReader(made("closed.mp4"), keep_bytes=0) as reader:
        len(reader)
        monkeypatch.setattr(reader._source, "_reopen", lambda: pytest.fail("went back to the beginning"))
        reader.read([39])
        assert reader.frames_decoded <= 6


@pytest.mark.parametrize(("degrees", "mirror"), [(0, False), (90, False), (180, False), (-90, False), (0, True)])
def test_the_display_matrix_is_applied(
    degrees: int, mirror: bool, tmp_path: Path, encode: Callable[..., Path], sequential: Callable[[Path], np.ndarray]
) -> None:
    path = encode(tmp_path / "turned.mp4", "libx264", frames=3, rotate=degrees, mirror=mirror)
    stored = sequential(path)
    expected = stored[:, :, ::-1] if mirror else np.rot90(stored, degrees // 90, axes=(1, 2))
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.read([0, 2]).permute(0, 2, 3, 1).numpy(), expected[[0, 2]])
        assert reader.size == expected.shape[2:0:-1]
        assert reader.read([]).shape == (0, 3, *expected.shape[1:3])
    info = probe(path)
    assert (info.width, info.height) == expected.shape[2:0:-1]
    assert info.rotation == degrees % 360


def test_non_square_pixels_are_given_as_stored(tmp_path: Path, encode: Callable[..., Path]) -> None:
    path = encode(tmp_path / "wide.mp4", "libx264", frames=2, aspect=Fraction(2))
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2
    with VideoReader(path) as reader:
        assert reader.read([0]).shape == (1, 3, 48, 64)


def test_variable_rate_is_read_by_time(tmp_path: Path, encode: Callable[..., Path]) -> None:
    starts = [0, 1, 2, 10, 11, 30]
    path = encode(tmp_path / "vfr.mkv", "libx264", frames=6, pts=starts, fps=10, options={"bf": "2"})
    with VideoReader(path) as reader:
        np.testing.assert_allclose(reader.times_seconds, np.asarray(starts) / 10, atol=1e-3)
        assert reader.indices_at([-1.0, 0.0, 0.05, 0.2, 0.9, 1.0, 1.05, 2.9, 3.0, 99.0]).tolist() == [
            0, 0, 0, 2, 2, 3, 3, 4, 5, 5,
        ]  # fmt: skip
        info = reader.info()
    assert info.variable_rate
    assert info.frames == 6


def test_probe_tells_what_the_file_is(made: Callable[[str], Path]) -> None:
    info = probe(made("ten_bit.mkv"))
    assert (info.width, info.height, info.frames, info.codec, info.pix_fmt) == (64, 48, 40, "h264", "yuv420p10le")
    assert (info.fps, info.rotation, info.variable_rate, info.container) == (30.0, 0, False, "matroska,webm")
    assert info.duration_seconds == pytest.approx(40 / 30, abs=2e-3)


def test_the_clock_of_each_container_gives_the_frame_times(made: Callable[[str], Path]) -> None:
    for name in ("closed.mp4", "open_gop.mkv", "transport.ts", "reordered.avi", "mpeg4.mp4", "mpeg2.mpg"):
        with VideoReader(made(name)) as reader:
            np.testing.assert_allclose(reader.times_seconds, np.arange(FORTY) / 30, atol=1e-3, err_msg=name)


def test_a_frame_the_video_does_not_have(made: Callable[[str], Path]) -> None:
    with VideoReader(made("closed.mp4")) as reader:
        assert torch.equal(reader.read([-1]), reader.read([39]))
        with pytest.raises(VideoError, match=r"closed\.mp4: cannot read the frames: there is no frame 40; it has 40"):
            reader.read([0, 40])


def test_two_iterations_on_one_reader_are_refused(made: Callable[[str], Path]) -> None:
    with VideoReader(made("closed.mp4")) as reader:
        first = reader.frames()
        next(first)
        reader.read([20])
        with pytest.raises(RuntimeError, match="one reader per iteration"):
            list(first)


def test_the_error_survives_a_trip_between_processes() -> None:
    error = pickle.loads(pickle.dumps(VideoError("a.mp4", "open", "it is empty", "fetch it again")))
    assert str(error) == "a.mp4: cannot open the video: it is empty\n  fetch it again"
    assert (error.path, error.stage, error.reason) == (Path("a.mp4"), "open", "it is empty")
    assert isinstance(error, DecodeError)


def _missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def _empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def _text(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("not a video at all")
    return path


def _folder(folder: Path) -> Path:
    path = folder / "folder.mp4"
    path.mkdir()
    return path


def _audio(folder: Path) -> Path:
    path = folder / "audio.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_missing, "No such file or directory"),
        (_empty, "the file is empty"),
        (_text, "it is not a video FFmpeg knows"),
        (_folder, "it is a folder"),
        (_audio, "it holds no video stream, only: audio"),
    ],
)
def test_what_is_no_video(make: Callable[[Path], Path], reason: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(VideoError, match=f"cannot open the video: {reason}") as caught:
        VideoReader(path)
    assert str(path) in str(caught.value)
    assert "\n  " in str(caught.value), "a second line says what to do"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("front.mp4", r"it is cut short: its 'mdat' box ends at byte \d+, the file at byte \d+"),
        ("cut.mkv", r"it is cut short: its segment ends at byte \d+, the file at byte \d+"),
        ("animation.gif", r"it is cut short: the GIF stops in frame \d+ without its end"),
    ],
)
def test_a_truncated_file_never_gives_fewer_frames_quietly(
    name: str, reason: str, tmp_path: Path, encode: Callable[..., Path]
) -> None:
    how: dict[str, object] = dict(ENCODINGS["animation.gif" if name.endswith("gif") else "closed.mp4"][0])
    if name == "front.mp4":
        how["container_options"] = {"movflags": "faststart"}
    path = encode(tmp_path / name, **how)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with VideoReader(path) as reader, pytest.raises(VideoError, match=reason) as caught:
        len(reader)
    assert caught.value.stage == "demux"


def test_a_last_packet_cut_short(tmp_path: Path, encode: Callable[..., Path]) -> None:
    how = {**ENCODINGS["closed.mp4"][0], "container_options": {"movflags": "faststart"}}
    path = encode(tmp_path / "short.mp4", **how)
    path.write_bytes(path.read_bytes()[:-1])
    with VideoReader(path) as reader, pytest.raises(VideoError, match=r"it is cut short: its 'mdat' box ends at"):
        reader.read([0])


def test_damage_spoils_the_frames_it_touches_and_no_others(
    made: Callable[[str], Path], sequential: Callable[[Path], np.ndarray], tmp_path: Path
) -> None:
    whole = made("closed.mp4")
    with av.open(str(whole)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        start = next(p for p in packets[20:] if p.is_keyframe)  # frame 24
        place, size = start.pos, start.size
    data = bytearray(whole.read_bytes())
    data[place + 5 : place + size] = bytes(size - 5)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    with VideoReader(path) as reader:
        np.testing.assert_array_equal(reader.read([3, 38])[:1, :].permute(0, 2, 3, 1), sequential(whole)[[3]])
        with pytest.raises(VideoError, match=r"damaged\.mp4: cannot decode the video") as caught:
            reader.read([26])
        assert caught.value.stage == "decode"
        with pytest.raises(VideoError, match="cannot decode the video"):
            reader.verify()


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, encode: Callable[..., Path]) -> None:
    how = {**ENCODINGS["closed.mp4"][0], "container_options": {"movflags": "faststart"}, "size": (320, 240)}
    path = encode(tmp_path / "shrinks.mp4", **how)
    with VideoReader(path, keep_bytes=0) as reader:
        reader.read([0])
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 3)
        with pytest.raises(VideoError, match=r"shrinks\.mp4: cannot"):
            reader.read([39])
