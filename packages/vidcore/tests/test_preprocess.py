from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as torchvision
from torchvision.transforms.v2.functional import _geometry
from vidcore.errors import ShapeError
from vidcore.plugin import ClipFormat
from vidcore.preprocess import (
    Window,
    _resize_by_floats,
    check_video,
    fit_frames,
    frames_before_crop,
    plan_windows,
    scale_pixels,
)


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


SIZES = [(64, 48), (48, 64), (113, 57), (7, 131), (32, 32), (1, 9)]
# Where the integer kernels are vectorised torchvision uses them too; on older x86 it resizes in floats.
same_kernels = pytest.mark.skipif(
    not _geometry._do_native_uint8_resize_on_cpu(InterpolationMode.BILINEAR), reason="this CPU has no AVX2"
)


def layouts(source):
    """Frames as tensors are made, and as decoders give them: channels last; noise, and edges that overshoot."""
    for video in (noise(3, 3, *source), (noise(3, 3, *source) > 127).to(torch.uint8) * 255):
        yield video
        yield video.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        yield video[:1, None]
        yield video[0]


@same_kernels
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("source", SIZES)
def test_resized_pixels_are_those_of_torchvision(interpolation, source):
    for video in layouts(source):
        for size in [(32, 32), (31, 57), (120, 90), (1, 30)]:
            fitted = fit_frames(video, ClipFormat(size=size, fit="stretch", interpolation=interpolation))
            mode = InterpolationMode(interpolation)
            assert torch.equal(fitted, torchvision.resize(video, list(size), mode, antialias=True))


@same_kernels
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("source", SIZES)
def test_without_antialiasing_the_pixels_are_those_of_torchvision_too(interpolation, source):
    for video in layouts(source):
        for size in [(32, 32), (31, 57), (120, 90)]:
            clip = ClipFormat(size=size, fit="stretch", interpolation=interpolation, antialias=False)
            expected = torchvision.resize(video, list(size), InterpolationMode(interpolation), antialias=False)
            assert torch.equal(fit_frames(video, clip), expected)


@pytest.mark.parametrize("source", SIZES)
def test_where_integers_cannot_be_resized_the_pixels_are_those_of_torchvision_too(source, monkeypatch):
    # What torchvision does on a GPU, asked of it on this CPU.
    monkeypatch.setattr(_geometry, "_do_native_uint8_resize_on_cpu", lambda mode: False)
    for video in layouts(source):
        for antialias in (True, False):
            expected = torchvision.resize(video, [31, 57], InterpolationMode.BILINEAR, antialias=antialias)
            frames = video.reshape(-1, *video.shape[-3:])
            resized = _resize_by_floats(frames, (31, 57), "bilinear", antialias=antialias)
            assert torch.equal(resized.reshape(expected.shape), expected)


@pytest.mark.parametrize("source", SIZES)
def test_a_cubic_of_floats_is_within_two_levels_of_the_integer_kernels(source):
    for video in layouts(source):
        frames = video.reshape(-1, *video.shape[-3:])
        whole = torch.nn.functional.interpolate(frames, (31, 57), mode="bicubic", antialias=True)
        assert (_resize_by_floats(frames, (31, 57), "bicubic").int() - whole.int()).abs().max() <= 2


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("source", SIZES)
def test_where_the_publisher_resizes_pictures_the_pixels_are_pillow_s(interpolation, source):
    clip = ClipFormat(size=(31, 57), fit="stretch", interpolation=interpolation, resampler="pillow")
    for video in layouts(source):
        pictures = [Image.fromarray(f.permute(1, 2, 0).numpy()) for f in video.reshape(-1, *video.shape[-3:])]
        resized = [
            torch.from_numpy(np.array(p.resize((57, 31), getattr(Image, interpolation.upper())))) for p in pictures
        ]
        expected = torch.stack(resized).permute(0, 3, 1, 2).reshape(*video.shape[:-2], 31, 57)
        assert torch.equal(fit_frames(video, clip), expected)


@pytest.mark.parametrize(
    ("source", "clip", "expected"),
    [
        # 224 * 320 / 240 = 298.67: the long side is truncated.
        ((240, 320), ClipFormat(size=(224, 224)), (224, 298)),
        ((320, 240), ClipFormat(size=(224, 224)), (298, 224)),
        ((240, 320), ClipFormat(size=(112, 112), resize_to=(128, 171)), (128, 171)),
        # Not square: the published margin, and sides rounded.
        ((240, 320), ClipFormat(size=(96, 128), resize_short=112), (112, 149)),
        ((240, 320), ClipFormat(size=(96, 64)), (96, 128)),
    ],
)
def test_the_size_before_the_crop(source, clip, expected):
    assert frames_before_crop(noise(1, 3, *source), clip.size, clip).shape[-2:] == expected


@pytest.mark.parametrize(("rounding", "left"), [("nearest", 2), ("down", 1)])
def test_odd_margins_round_as_the_format_says(rounding, left):
    video = noise(1, 3, 8, 11)
    clip = ClipFormat(size=(8, 8), crop_rounding=rounding)
    assert torch.equal(fit_frames(video, clip), video[..., left : left + 8])


def test_frames_shorter_than_the_crop_get_black_around_them():
    fitted = fit_frames(torch.full((1, 3, 40, 40), 9, dtype=torch.uint8), ClipFormat(size=(32, 32), resize_short=29))
    assert (fitted[0, 0] == 9).sum() == 29 * 29 and fitted[0, 0, 0].max() == 0 and fitted[0, 0, 1, 1] == 9


def test_padded_frames_are_whole_and_in_the_mean():
    clip = ClipFormat(size=(32, 32), fit="pad", mean=(0.2, 0.4, 0.6))
    fitted = fit_frames(torch.full((2, 3, 20, 40), 9, dtype=torch.uint8), clip)
    assert (fitted == 9).all(1).sum() == 2 * 16 * 32
    assert fitted[0, :, 0, 0].tolist() == [51, 102, 153]


def test_formats_of_one_geometry_agree_in_everything_that_moves_pixels():
    base = ClipFormat(size=(32, 32), mean=(0.5,))
    assert base.geometry == replace(base, mean=(0.1,), frames=8, fps=3.0).geometry
    for change in (
        {"antialias": False}, {"resampler": "pillow"}, {"crop_rounding": "down"}, {"resize_short": 40},
        {"resize_to": (40, 40)}, {"interpolation": "bicubic"}, {"fit": "stretch"}, {"size": (32, 33)},
    ):  # fmt: skip
        assert base.geometry != replace(base, **change).geometry, change
    padded = replace(base, fit="pad")
    assert padded.geometry != replace(padded, mean=(0.1,)).geometry


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_on_a_gpu_the_pixels_are_those_of_the_cpu(interpolation):
    video = noise(3, 3, 113, 57).cuda()
    fitted = fit_frames(video, ClipFormat(size=(31, 57), fit="stretch", interpolation=interpolation))
    expected = torchvision.resize(video.cpu(), [31, 57], InterpolationMode(interpolation), antialias=True)
    assert (fitted.cpu().int() - expected.int()).abs().max() <= 2


@same_kernels
@pytest.mark.parametrize("source", SIZES)
@pytest.mark.parametrize("size", [(30, 30), (31, 30), (25, 44)])
@pytest.mark.parametrize("resize_to", [(40, 50), (41, 51), (30, 30), (20, 45), (11, 12)])
def test_the_crop_is_that_of_torchvision_with_black_around_small_frames(source, size, resize_to):
    video = noise(2, 3, *source)
    expected = torchvision.center_crop(torchvision.resize(video, list(resize_to), antialias=True), list(size))
    fitted = fit_frames(video, ClipFormat(size=size, resize_to=resize_to))
    assert torch.equal(fitted, video if tuple(source) == size else expected)


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


@pytest.mark.parametrize(
    ("shape", "order", "permutation"),
    [
        ((2, 3, 8, 32, 40), "(B, C, T, H, W)", (0, 2, 1, 3, 4)),
        ((2, 8, 32, 40, 3), "(B, T, H, W, C)", (0, 1, 4, 2, 3)),
    ],
)
def test_a_wrong_order_of_axes_is_named_with_what_mends_it(shape, order, permutation):
    video = torch.zeros(shape, dtype=torch.uint8)
    with pytest.raises(ShapeError) as caught:
        check_video(video)
    assert order in str(caught.value)
    assert f"video.permute{permutation}" in str(caught.value)
    check_video(video.permute(permutation))
