"""Index rules against tables worked out by hand, and properties that hold for any video."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vidcore.data.sampling import ClipIndices, Sampling, at_rate, dense, multi_clip, strided, uniform, uniform_clips
from vidcore.errors import ConfigError, DataError

TOTALS = st.integers(1, 500)
FRAMES = st.integers(1, 64)
SHORTS = st.sampled_from(["hold", "loop"])


@pytest.mark.parametrize(
    ("total", "frames", "expected"),
    [
        (10, 1, [5]),
        (10, 2, [2, 7]),
        (10, 3, [1, 5, 8]),  # 10/6 = 1.67, 30/6 = 5, 50/6 = 8.33
        (10, 4, [1, 3, 6, 8]),  # 1.25, 3.75, 6.25, 8.75
        (8, 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (9, 8, [0, 1, 2, 3, 5, 6, 7, 8]),  # 0.56, 1.69, 2.81, 3.94, 5.06, 6.19, 7.31, 8.44
        (300, 8, [18, 56, 93, 131, 168, 206, 243, 281]),  # 18.75 + 37.5 i
    ],
)
def test_uniform_by_hand(total: int, frames: int, expected: list[int]) -> None:
    drawn = uniform(total, frames)
    assert drawn.indices.tolist() == expected
    assert drawn.mask.all()


@pytest.mark.parametrize(
    ("total", "frames", "stride", "expected"),
    [
        (10, 4, 1, [3, 4, 5, 6]),
        (11, 4, 1, [3, 4, 5, 6]),
        (10, 4, 2, [1, 3, 5, 7]),
        (10, 4, 3, [0, 3, 6, 9]),
        (32, 8, 4, [1, 5, 9, 13, 17, 21, 25, 29]),
        (1, 1, 8, [0]),
    ],
)
def test_strided_by_hand(total: int, frames: int, stride: int, expected: list[int]) -> None:
    drawn = strided(total, frames, stride)
    assert drawn.indices.tolist() == expected
    assert drawn.mask.all()
    if stride == 1:
        assert dense(total, frames).indices.tolist() == expected


def test_several_uniform_clips_by_hand() -> None:
    assert uniform_clips(12, 3, 2).indices.tolist() == [[1, 5, 9], [3, 7, 11]]
    assert uniform_clips(7, 3, 1).indices.tolist() == [uniform(7, 3).indices.tolist()]
    short = uniform_clips(2, 3, 2, short="loop")
    assert short.indices.tolist() == [[0, 1, 0]] * 2
    assert short.mask.tolist() == [[True, True, False]] * 2


def test_multi_clip_by_hand() -> None:
    assert multi_clip(10, 4, 3).indices.tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert multi_clip(10, 2, 4, stride=3).indices.tolist() == [[0, 3], [2, 5], [4, 7], [6, 9]]
    assert multi_clip(10, 4, 1).indices.tolist() == [[3, 4, 5, 6]]


@pytest.mark.parametrize(
    ("short", "uniform_5", "strided_5"),
    [("hold", [0, 1, 2, 2, 2], [0, 2, 2, 2, 2]), ("loop", [0, 1, 2, 0, 1], [0, 2, 0, 2, 0])]
)  # fmt: skip
def test_short_videos_by_hand(short: str, uniform_5: list[int], strided_5: list[int]) -> None:
    drawn = uniform(3, 5, short=short)
    assert drawn.indices.tolist() == uniform_5
    assert drawn.mask.tolist() == [True, True, True, False, False]
    drawn = strided(3, 5, 2, short=short)
    assert drawn.indices.tolist() == strided_5
    assert drawn.mask.tolist() == [True, True, False, False, False]
    drawn = multi_clip(3, 5, 2, short=short)
    assert drawn.indices.tolist() == [uniform_5, uniform_5]
    assert drawn.mask.sum() == 6


def test_at_rate_by_hand() -> None:
    times = np.arange(30) / 30
    # 4 steps of 0.1 s take 0.4 of 1 s: from 0.3 s
    assert at_rate(times, 1.0, 4, 10).indices.tolist() == [9, 12, 15, 18]
    uneven = np.asarray([0.0, 0.1, 0.5, 0.9])
    # from 0 s: at 0, 0.25, 0.5, 0.75 s
    drawn = at_rate(uneven, 1.0, 4, 4)
    assert drawn.indices.tolist() == [0, 1, 2, 2]
    assert drawn.mask.all(), "a frame that is still shown is real"
    late = at_rate(uneven + 7.0, 1.0, 6, 4)
    assert late.indices.tolist() == [0, 1, 2, 2, 2, 2]
    assert late.mask.tolist() == [True] * 4 + [False] * 2


@given(TOTALS, FRAMES, SHORTS, st.integers(1, 8), st.integers(1, 5), st.none() | st.integers(0, 99))
def test_every_rule_gives_frames_the_video_has(
    total: int, frames: int, short: str, stride: int, clips: int, seed: int | None
) -> None:
    def generator() -> np.random.Generator | None:
        return None if seed is None else np.random.default_rng(seed)

    times = np.arange(total) / 25
    many = multi_clip(total, frames, clips, stride, short=short)
    for drawn in (
        uniform(total, frames, short=short, generator=generator()),
        dense(total, frames, short=short, generator=generator()),
        strided(total, frames, stride, short=short, generator=generator()),
        at_rate(times, total / 25, frames, 10.0, short=short, generator=generator()),
        *map(ClipIndices, many.indices, many.mask),
    ):
        assert drawn.indices.shape == drawn.mask.shape == (frames,)
        assert drawn.indices.dtype == np.int64
        assert drawn.indices.min() >= 0
        assert drawn.indices.max() < total
        real = drawn.indices[drawn.mask]
        assert len(real) >= 1
        assert (np.diff(real) >= 0).all(), "real steps ascend"
        assert (np.diff(drawn.mask.astype(int)) <= 0).all(), "real steps come first"
        if short == "hold":
            assert (drawn.indices[~drawn.mask] == real[-1]).all()
        else:
            assert (drawn.indices == np.resize(real, frames)).all()


@given(TOTALS, FRAMES, st.integers(0, 99))
def test_jitter_stays_in_its_segment(total: int, frames: int, seed: int) -> None:
    if total < frames:
        return
    drawn = uniform(total, frames, generator=np.random.default_rng(seed)).indices
    steps = np.arange(frames)
    assert (drawn >= steps * total // frames).all()
    assert (drawn <= (steps + 1) * total / frames).all()


@given(TOTALS, FRAMES, st.integers(1, 8))
def test_windows_lie_evenly(total: int, frames: int, stride: int) -> None:
    window = (frames - 1) * stride + 1
    if total < window:
        return
    centred = strided(total, frames, stride)
    before, after = centred.indices[0], total - 1 - centred.indices[-1]
    assert after - before in (0, 1)
    many = multi_clip(total, frames, 3, stride)
    assert many.indices[0, 0] == 0
    assert many.indices[-1, -1] == total - 1


def test_generators_of_both_libraries_reach_every_start_and_repeat_themselves() -> None:
    for make in (lambda s: np.random.default_rng(s), lambda s: torch.Generator().manual_seed(s)):
        assert (
            strided(20, 4, 2, generator=make(3)).indices.tolist()
            == strided(20, 4, 2, generator=make(3)).indices.tolist()
        )
        generator = make(0)
        starts = {int(strided(10, 4, 2, generator=generator).indices[0]) for _ in range(100)}
        assert starts == {0, 1, 2, 3}


def test_a_sampling_draws_clips_of_its_rule() -> None:
    times = np.arange(40) / 20
    assert Sampling(frames=4).draw(times, 2.0).indices.tolist() == [[5, 15, 25, 35]]
    assert Sampling("strided", frames=2, stride=5).draw(times, 2.0).indices.tolist() == [[17, 22]]
    assert Sampling("dense", frames=2).draw(times, 2.0).indices.tolist() == [[19, 20]]
    assert Sampling("multi_clip", frames=2, clips=2).draw(times, 2.0).indices.tolist() == [[0, 1], [38, 39]]
    assert Sampling("at_rate", frames=2, fps=10).draw(times, 2.0).indices.tolist() == [[18, 20]]
    assert Sampling(frames=50, short="loop").draw(times, 2.0).indices[0, -1] == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "unifrom"}, "unknown sampling 'unifrom'; use one of: published, uniform, dense"),
        ({"short": "mirror"}, "unknown rule for short videos 'mirror'; use one of: hold, loop"),
        ({"frames": 0}, "sampling.frames is 0; it must be at least 1"),
        ({"stride": 2}, "sampling 'uniform' has no stride"),
        ({"fps": 4.0}, "sampling 'at_rate' needs fps"),
        ({"kind": "at_rate"}, "sampling 'at_rate' needs fps"),
        ({"kind": "at_rate", "fps": float("nan")}, "sampling.fps is nan"),
    ],
)
def test_a_sampling_refuses_what_it_would_ignore(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Sampling(**options)


def test_no_frames_to_sample_from() -> None:
    with pytest.raises(DataError, match="cannot sample a clip from 0 frames"):
        uniform(0, 8)
    with pytest.raises(ConfigError, match=r"sampling\.stride is 0"):
        strided(8, 8, 0)
    assert repr(uniform(3, 5)) == "ClipIndices(5, 3 real)"
