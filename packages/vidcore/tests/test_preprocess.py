from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from vidcore.errors import ShapeError
from vidcore.plugin import ClipFormat
from vidcore.preprocess import Window, check_video, fit_frames, plan_windows, scale_pixels


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (40, 24)])
@pytest.mark.parametrize("source", [(48, 64), (64, 48), (20, 20), (8, 90)])
def test_frames_get_the_size_and_stay_uint8(fit, size, source):
    fitted = fit_frames(noise(2, 3, *source), ClipFormat(size=size, fit=fit))
    assert fitted.shape == (2, 3, *size)
    assert fitted.dtype == torch.uint8


def test_a_fitted_video_is_returned_as_it_is():
    video = noise(2, 3, 32, 32)
    assert fit_frames(video, ClipFormat(size=(32, 32), resize_short=40)) is video


def test_the_crop_is_the_centre_after_resizing_the_short_side():
    video = torch.zeros(1, 3, 64, 128, dtype=torch.uint8)
    video[..., 46:82] = 255  # the middle of the width
    fitted = fit_frames(video, ClipFormat(size=(16, 16), resize_short=32))
    assert fitted.min() == 255, "16 of 64 columns after halving: all inside the bright band"


def test_any_size_is_brought_to_the_multiple():
    assert fit_frames(noise(1, 3, 30, 75), ClipFormat(size_multiple=14)).shape == (1, 3, 28, 70)
    assert fit_frames(noise(1, 3, 5, 5), ClipFormat(size_multiple=14)).shape == (1, 3, 14, 14)


def test_pixels_are_scaled_to_range_mean_and_std():
    video = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 2, 1, 1, 1).expand(1, 2, 3, 1, 1)
    clip = ClipFormat(value_range=(-1, 1), mean=(0.5, 0.0, 0.0), std=(0.5, 1.0, 2.0))
    scaled = scale_pixels(video, clip)
    assert scaled.shape == (1, 3, 2, 1, 1)
    expected = torch.tensor([[-3.0, 1.0], [-1.0, 1.0], [-0.5, 0.5]])
    assert torch.allclose(scaled.flatten(3)[0, :, :, 0], expected, atol=1e-6)


def test_channels_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="mean has 3 values; the video has 1 channels"):
        scale_pixels(noise(1, 2, 1, 4, 4), ClipFormat(mean=(0.5, 0.5, 0.5)))


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (torch.zeros(2, 3, 4, 4, dtype=torch.uint8), r"got uint8 \(2, 3, 4, 4\); add a batch axis with video\[None\]"),
        (torch.zeros(1, 2, 3, 4, 4), r"got float32 \(1, 2, 3, 4, 4\)"),
        (torch.zeros(1, 0, 3, 4, 4, dtype=torch.uint8), "at least one frame"),
    ],
)
def test_what_is_not_a_raw_batch_is_refused(video, message):
    with pytest.raises(ShapeError, match=message):
        check_video(video)


@pytest.mark.parametrize(
    ("frames", "clip", "align", "expected"),
    [
        (6, ClipFormat(frames=8), 1, [(0, 8)]),
        (8, ClipFormat(frames=8), 1, [(0, 8)]),
        (20, ClipFormat(frames=8), 1, [(0, 8), (8, 8), (12, 8)]),
        (20, ClipFormat(frames=8, overlap_frames=4), 2, [(0, 8), (4, 8), (8, 8), (12, 8)]),
        (21, ClipFormat(frames=8, overlap_frames=4), 4, [(0, 8), (4, 8), (8, 8), (12, 8), (16, 8)]),
        (5, ClipFormat(max_frames=64), 1, [(0, 5)]),
        (5, ClipFormat(max_frames=64, frame_multiple=2, min_frames=2), 2, [(0, 6)]),
        (1, ClipFormat(max_frames=64, min_frames=4), 1, [(0, 4)]),
        (10, ClipFormat(max_frames=17, frame_multiple=4, frame_offset=1), 4, [(0, 13)]),
        (30, ClipFormat(max_frames=18, frame_multiple=4, frame_offset=1), 4, [(0, 17), (16, 17)]),
    ],
)
def test_windows_by_hand(frames, clip, align, expected):
    assert [(w.start, w.length) for w in plan_windows(frames, clip, align)] == expected


@given(
    frames=st.integers(1, 300),
    length=st.integers(2, 40),
    overlap=st.integers(0, 30),
    align=st.sampled_from([1, 2, 4]),
)
def test_windows_cover_every_frame_in_order(frames, length, overlap, align):
    assume(align <= length)
    windows = plan_windows(frames, ClipFormat(frames=length, overlap_frames=min(overlap, length - 1)), align)
    covered = {frame for w in windows for frame in range(w.start, w.start + w.length)}
    starts = [w.start for w in windows]
    assert covered >= set(range(frames))
    assert starts == sorted(set(starts))
    assert all(start % align == 0 for start in starts)
    assert len(windows) == 1 or windows[-1].start + length - frames < align


def test_a_window_past_the_end_holds_the_last_frame():
    video = noise(2, 5, 3, 4, 4)
    part = Window(3, 4, 5).take(video)
    assert torch.equal(part[:, :2], video[:, 3:])
    assert torch.equal(part[:, 2:], video[:, 4:].expand(-1, 2, -1, -1, -1))
