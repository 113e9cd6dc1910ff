"""The published pace: index rules against the publishers' own formulas, short videos, windows, variable rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vidcore.catalog import ClipFormat, installed
from vidcore.config import DataConfig
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError

PUBLISHED = Sampling("published")


def constant(frames: int, fps: float) -> tuple[np.ndarray, float]:
    return np.arange(frames) / fps, frames / fps


def rule(name: str, **changes: int) -> Sampling:
    return Sampling("published", **changes).of(installed().find("extractor", name)[0].spec.clip)


# frames x stride at 30 frames a second, from the model zoos of PyTorchVideo and PySlowFast.
ZOO = {
    "x3d/xs": (4, 12),
    "x3d/s": (13, 6),
    "x3d/m": (16, 5),
    "slowfast/r50_8x8": (32, 2),
    "slowfast/r101_16x8": (64, 2),
    "slow/r50_8x8": (8, 8),
    "slowfast/c2d_r50": (8, 8),
    "i3d/r50_8x8": (8, 8),
    "timesformer/base": (8, 32),
}


@pytest.mark.parametrize("fps", [30.0, 25.0, 30000 / 1001, 60.0, 19.62, 10.0])
@pytest.mark.parametrize("name", ZOO)
def test_frames_are_those_of_pyslowfast(name: str, fps: float) -> None:
    frames, stride = ZOO[name]
    # slowfast/datasets/decoder.py: clip_size = sampling_rate * num_frames / target_fps * fps, start_idx = delta / 2 of
    # one clip, end_idx = start_idx + clip_size - 1, and linspace between them, cut to whole frames.
    clip_size = stride * frames / 30 * fps
    total = int(np.ceil(clip_size)) + 3
    start = (total - clip_size) / 2
    index = torch.linspace(start, start + clip_size - 1, frames, dtype=torch.float64)
    expected = torch.clamp(index, 0, total - 1).long().tolist()
    drawn = rule(name, windows=1).draw(*constant(total, fps))
    assert drawn.indices[0].tolist() == expected
    assert drawn.mask.all()


def test_frames_are_those_of_pytorchvideo() -> None:
    # UniformTemporalSubsample of the frames of a clip of stride * frames / 30 seconds: linspace(0, t - 1, n).
    assert rule("x3d/xs").draw(*constant(48, 30)).indices.tolist() == [[0, 15, 31, 47]]
    assert rule("x3d/s").draw(*constant(78, 30)).indices[0].tolist() == [
        0, 6, 12, 19, 25, 32, 38, 44, 51, 57, 64, 70, 77,
    ]  # fmt: skip
    assert rule("slow/r50_8x8").draw(*constant(64, 30)).indices[0].tolist() == list(range(0, 64, 9))


def test_frames_are_those_of_the_other_publishers() -> None:
    # I3D: 25 consecutive frames a second.
    i3d = rule("i3d/inception")
    assert i3d.draw(*constant(64, 25)).indices[0].tolist() == list(range(64))
    assert i3d.draw(*constant(77, 30)).indices[0].tolist() == [int(i * 1.2 + 1e-9) for i in range(64)]
    # VideoMAE tests on every 4th frame, ViViT has every 2nd of 25 frames a second, torchvision 15 (7.5) a second.
    assert rule("videomae/base").draw(*constant(64, 30)).indices[0].tolist() == list(range(0, 64, 4))
    assert rule("vivit/b16x2").draw(*constant(64, 25)).indices[0].tolist() == list(range(0, 64, 2))
    assert rule("torchvision/mvit_v2_s").draw(*constant(64, 30)).indices[0].tolist() == list(range(0, 64, 4))
    # V-JEPA 2: linspace(0, n * step, n), clipped to the last frame of the window.
    vjepa = rule("vjepa2/vitl").draw(*constant(512, 32)).indices[0].tolist()
    assert vjepa == np.clip(np.linspace(0, 512, 64), 0, 511).astype(int).tolist()


def test_weights_of_something_something_see_the_whole_video() -> None:
    spec = installed().find("extractor", "videomae/base.ssv2")[0].spec
    (clip,) = [w.clip for w in spec.weights if w.tag == "ssv2"]
    assert clip is not None
    assert PUBLISHED.of(clip) == Sampling("uniform", 16)


def test_an_extractor_without_a_pace_sees_the_whole_segment_whatever_else_is_asked() -> None:
    assert rule("basic/naive_cnn") == rule("handcrafted/forensic") == Sampling("uniform", 16)
    assert PUBLISHED.of(ClipFormat(frames=8)) == Sampling("uniform", 8)


def test_a_long_segment_takes_as_many_windows_as_it_needs_up_to_the_budget() -> None:
    clip = ClipFormat(frames=8, stride_frames=1, fps=10)
    counts = {n: PUBLISHED.of(clip).draw(*constant(n, 10)).windows for n in (8, 9, 10, 16, 17, 18, 80, 200)}
    # An eighth of a window more is not worth another one.
    assert counts == {8: 1, 9: 1, 10: 2, 16: 2, 17: 2, 18: 3, 80: 10, 200: 10}
    drawn = Sampling("published", windows=3).of(clip).draw(*constant(100, 10))
    assert drawn.indices.reshape(3, 8)[:, 0].tolist() == [0, 46, 92]
    assert drawn.indices.max() == 99
    assert Sampling("published", windows=1).of(clip).draw(*constant(100, 10)).indices[0, 0] == 46


def test_several_clips_take_turns_with_the_windows() -> None:
    clip = ClipFormat(frames=4, stride_frames=1, fps=10)
    drawn = Sampling("published", clips=2).of(clip).draw(*constant(16, 10))
    assert (drawn.indices.shape, drawn.windows) == ((2, 16), 4)
    assert (drawn.indices[0, ::4] < drawn.indices[1, ::4]).all()


def test_a_segment_shorter_than_a_window() -> None:
    fixed = PUBLISHED.of(ClipFormat(frames=8, stride_frames=2, fps=10)).draw(*constant(7, 10))
    assert fixed.indices.tolist() == [[0, 2, 4, 6, 6, 6, 6, 6]]
    assert fixed.mask.tolist() == [[True] * 4 + [False] * 4]
    # Held steps go on at the pace, so that no two steps are at one time.
    assert fixed.times.tolist() == [[0, 2, 4, 6, 8, 10, 12, 14]]
    free = PUBLISHED.of(ClipFormat(min_frames=2, max_frames=8, frame_multiple=2, stride_frames=2, fps=10))
    assert free.draw(*constant(11, 10)).indices.tolist() == [[0, 2, 4, 6, 8, 10]]
    padded = free.draw(*constant(9, 10))
    assert (padded.indices.tolist(), padded.mask.tolist()) == ([[0, 2, 4, 6, 8, 8]], [[True] * 5 + [False]])
    # Training clips have one length, or they could not be one batch.
    assert free.draw(*constant(11, 10), np.random.default_rng(0)).indices.shape == (1, 8)
    assert free.draw(*constant(1, 10)).indices.tolist() == [[0, 0]]


def test_training_draws_one_window_anywhere() -> None:
    own = PUBLISHED.of(ClipFormat(frames=4, stride_frames=2, fps=10))
    starts = set()
    for seed in range(200):
        drawn = own.draw(*constant(20, 10), np.random.default_rng(seed))
        assert (np.diff(drawn.indices[0]) == 2).all()
        assert drawn.windows == 1
        starts.add(int(drawn.indices[0, 0]))
    assert starts == set(range(13)) - {12} | {0}


def test_a_variable_rate_goes_by_the_frames_own_times() -> None:
    # One second of 20 frames a second, then one of 5.
    times = np.concatenate([np.arange(20) / 20, 1 + np.arange(5) / 5])
    own = PUBLISHED.of(ClipFormat(frames=8, stride_frames=1, fps=4))
    drawn = own.draw(times, 2.0)
    assert drawn.indices.tolist() == [[0, 5, 10, 15, 20, 21, 22, 23]]
    shown = times[drawn.indices[0]]
    assert (shown <= np.arange(8) / 4 + 1e-6).all()


def test_rounded_times_are_those_of_a_constant_rate() -> None:
    # Matroska keeps milliseconds.
    times = np.round(np.arange(64) / 30, 3)
    assert rule("slow/r50_8x8").draw(times, 64 / 30).indices[0].tolist() == list(range(0, 64, 9))


def test_a_video_slower_than_the_pace_shows_frames_again() -> None:
    drawn = PUBLISHED.of(ClipFormat(frames=8, stride_frames=1, fps=20)).draw(*constant(4, 10))
    assert drawn.indices.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]]
    assert drawn.mask.all()


def test_what_a_configuration_asks_for() -> None:
    assert Sampling.asked(DataConfig()) == PUBLISHED
    assert Sampling.asked(DataConfig(windows=2)) == Sampling("published", windows=2)
    assert Sampling.asked(DataConfig(frames=8)) == Sampling("uniform", 8)
    forms = [ClipFormat(frames=32), ClipFormat()]
    assert Sampling.asked(DataConfig(sampling="uniform"), forms) == Sampling("uniform", 32)
    with pytest.raises(ValueError, match="frames=8 goes with sampling=uniform"):
        DataConfig(sampling="published", frames=8)
    with pytest.raises(ConfigError, match=r"use sampling\.of\(extractor\.clip\)"):
        PUBLISHED.draw(*constant(4, 10))
