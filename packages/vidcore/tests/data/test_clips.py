"""Clips cut from whole videos and from segments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from vidcore.data.clips import read_clip, read_clips
from vidcore.data.decode import VideoError, VideoReader
from vidcore.data.manifest import Row
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, encode: Callable[..., Path]) -> Path:
    """40 frames at 10 a second."""
    return encode(tmp_path_factory.mktemp("clips") / "v.mp4", "libx264", fps=10)


def test_a_clip_of_a_whole_video(video: Path, sequential: Callable[[Path], np.ndarray]) -> None:
    clip = read_clip(video, Sampling(frames=4))
    assert clip.indices.tolist() == [5, 15, 25, 35]
    assert clip.times_seconds.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert clip.mask.all()
    assert clip.path == video
    np.testing.assert_array_equal(clip.frames.permute(0, 2, 3, 1).numpy(), sequential(video)[[5, 15, 25, 35]])
    assert repr(clip) == "Clip(v.mp4, frames (4, 3, 48, 64), 4 real)"


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [(None, None, 0, 39), (1.0, 2.0, 10, 19), (0.95, 2.05, 10, 20), (3.5, None, 35, 39), (None, 0.1, 0, 0)],
)
def test_segments_are_half_open(start: float | None, end: float | None, first: int, last: int, video: Path) -> None:
    row = Row(video, start_seconds=start, end_seconds=end)
    ends = (
        read_clip(row, Sampling("multi_clip", frames=1, clips=1)),
        read_clips(row, [Sampling("multi_clip", 1, clips=2)]),
    )
    assert [clip.indices.item() for clip in ends[1][0]] == [first, last]
    assert first <= ends[0].indices.item() <= last


def test_a_segment_without_frames(video: Path) -> None:
    with pytest.raises(VideoError, match=r"no frame lies from 5 s to 6 s; the video lasts 4\.000 s"):
        read_clip(Row(video, start_seconds=5.0, end_seconds=6.0), Sampling())


def test_a_short_segment_is_masked(video: Path) -> None:
    clip = read_clip(Row(video, start_seconds=1.0, end_seconds=1.3), Sampling(frames=5))
    assert clip.indices.tolist() == [10, 11, 12, 12, 12]
    assert clip.mask.tolist() == [True, True, True, False, False]
    assert torch.equal(clip.frames[2], clip.frames[4])


def test_several_samplings_decode_once(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    read = VideoReader.read
    monkeypatch.setattr(VideoReader, "read", lambda self, i: asked.append(list(i)) or read(self, i))  # type: ignore[func-returns-value]
    found = read_clips(
        video, [Sampling(frames=2), Sampling("multi_clip", frames=2, clips=2), Sampling("at_rate", frames=2, fps=5.0)]
    )
    assert asked == [[0, 1, 10, 18, 20, 30, 38, 39]]
    assert [[clip.indices.tolist() for clip in clips] for clips in found] == [
        [[10, 30]],
        [[0, 1], [38, 39]],
        [[18, 20]],
    ]
    for clips in found:
        for clip in clips:
            with VideoReader(video) as reader:
                assert torch.equal(clip.frames, read(reader, clip.indices.tolist()))


def test_jitter_is_the_generators(video: Path) -> None:
    def draw(seed: int) -> list[int]:
        return read_clip(video, Sampling(frames=4), generator=torch.Generator().manual_seed(seed)).indices.tolist()

    assert draw(1) == draw(1) != draw(2)


def test_one_clip_where_several_are_cut(video: Path) -> None:
    with pytest.raises(ConfigError, match="this sampling cuts 3 clips and one is wanted; use read_clips"):
        read_clip(video, Sampling("multi_clip", frames=2, clips=3))
