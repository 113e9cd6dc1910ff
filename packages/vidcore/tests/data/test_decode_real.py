"""Real clips and broken files, where they are present."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from vidcore.data.decode import VideoError, VideoReader, probe

# file: frames, (width, height) after rotation
READABLE = {
    "bad/a.gif": (30, (480, 360)),
    "bad/a.webm": (90, (480, 360)),
    "bad/editlist.mp4": (120, (480, 360)),
    "bad/gray.mp4": (60, (480, 360)),
    "bad/odd444.mp4": (60, (481, 361)),
    "bad/oneframe.mp4": (1, (480, 360)),
    "bad/reschange.ts": (120, (320, 240)),
    "bad/rot90.mp4": (90, (360, 480)),
    "bad/sar2.mp4": (60, (480, 360)),
    "bad/vfr.mp4": (80, (480, 360)),
    "clips/av1_video.mkv": (125, (640, 360)),
    "clips/bt709_full_range.mp4": (30, (1280, 720)),
    "clips/demo.mp4": (280, (340, 256)),
    "clips/h264_10bits.mp4": (30, (200, 200)),
    "clips/h265_10bits.mp4": (30, (200, 200)),
    "clips/mmtest.avi": (164, (320, 240)),
    "clips/mmtest.mp4": (300, (340, 256)),
    "clips/nasa_13013.mp4": (390, (480, 270)),
    "clips/v_GGSY1Qvo990.mp4": (355, (320, 240)),
    "actions/set1/0_1_4.avi": (108, (400, 296)),
    "actions/set1/33_6_3.avi": (127, (180, 216)),
    "actions/set2/46_18_5.avi": (135, (428, 240)),
}
# file: stage, reason
BROKEN = {
    "audio_only.mp4": ("open", "it holds no video stream, only: audio"),
    "bad_moov.mp4": ("demux", "after 2 packets its index names one of impossible size"),
    "bitflips.mp4": ("decode", "frame 0 decodes with errors"),
    "random.mp4": ("open", "it is not a video FFmpeg knows"),
    "text.mp4": ("open", "it is not a video FFmpeg knows"),
    "trunc_faststart.mp4": ("demux", "it is cut short: its 'mdat' box ends at byte 1259919, the file at byte 600000"),
    "trunc_moovend.mp4": ("demux", "it is cut short: its 'mdat' box ends at byte 1252444, the file at byte 400000"),
    "trunc_nomoov.mp4": ("open", "it is not a video FFmpeg knows"),
    "zero.mp4": ("open", "the file is empty"),
    "zeroed_middle.mp4": ("decode", "frame 0 decodes with errors"),
}


@pytest.mark.parametrize("name", READABLE)
def test_sparse_reads_equal_the_sequential_decode(
    name: str, shared_data: Path, sequential: Callable[[Path], np.ndarray]
) -> None:
    path = shared_data / name
    expected = sequential(path)
    if name.endswith("rot90.mp4"):
        expected = np.rot90(expected, axes=(1, 2))
    count, size = READABLE[name]
    with VideoReader(path) as reader:
        assert len(reader) == len(expected) == count
        assert reader.size == size
        assert (np.diff(reader.times_seconds) > 0).all()
        assert reader.times_seconds[0] == 0
        draw = np.random.default_rng(0)
        for wanted in ([count - 1], *(draw.integers(0, count, 4) for _ in range(4))):
            frames = reader.read(wanted).permute(0, 2, 3, 1).numpy()
            np.testing.assert_array_equal(frames, expected[np.asarray(wanted)])
    with VideoReader(path) as reader:
        assert reader.verify() == count


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_say_what_is_wrong(name: str, shared_data: Path) -> None:
    stage, reason = BROKEN[name]
    path = shared_data / "bad" / name
    with pytest.raises(VideoError) as caught, VideoReader(path) as reader:
        reader.verify()
    assert caught.value.stage == stage
    assert caught.value.reason.startswith(reason)
    assert str(caught.value).startswith(f"{path}: cannot ")


def test_every_file_is_in_one_of_the_tables(shared_data: Path) -> None:
    known = {name.removeprefix("bad/") for name in READABLE if name.startswith("bad/")} | set(BROKEN)
    assert {path.name for path in (shared_data / "bad").iterdir()} == known


def test_the_best_of_two_video_streams_is_chosen(shared_data: Path) -> None:
    info = probe(shared_data / "clips" / "nasa_13013.mp4")
    assert (info.width, info.height, info.frames) == (480, 270, 390)


def test_frames_dropped_by_the_recorder_leave_a_gap_in_time(shared_data: Path) -> None:
    # 110 slots of 1/30 s, of which the second and third hold no picture.
    with VideoReader(shared_data / "actions/set1/0_1_4.avi") as reader:
        np.testing.assert_allclose(reader.times_seconds[:3], [0, 3 / 30, 4 / 30])
        assert reader.duration_seconds == pytest.approx(110 / 30)


@pytest.mark.parametrize(
    ("name", "most"),
    [("clips/mmtest.avi", 57), ("clips/mmtest.mp4", 139), ("clips/nasa_13013.mp4", 185), ("clips/demo.mp4", 145),
     ("clips/h265_10bits.mp4", 18), ("actions/set1/0_1_4.avi", 56)],
)  # fmt: skip
def test_eight_frames_cost_about_half_of_a_full_decode_or_less(name: str, most: int, shared_data: Path) -> None:
    with VideoReader(shared_data / name) as reader:
        total = len(reader)
        reader.read([(2 * i + 1) * total // 16 for i in range(8)])
        assert reader.frames_decoded <= most
