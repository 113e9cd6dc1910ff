"""Each statistic against its definition, and against frames whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import fft, ndimage
from vidcore import create
from vidplug_handcrafted.codec import CODEC_FEATURES, codec_cues
from vidplug_handcrafted.features import dct_bands, luma, noise, sharpness
from vidplug_handcrafted.variants import DCT, FRAME_FEATURES, NOISE, POOLED_FEATURES, SHARPNESS


def grey(frame: np.ndarray) -> torch.Tensor:
    """A grey frame (H, W) as a raw video (1, 1, 3, H, W)."""
    return torch.from_numpy(frame.clip(0, 255).astype(np.uint8))[None, None, None].expand(1, 1, 3, -1, -1)


def measured(frame: np.ndarray) -> dict[str, float]:
    extractor = create("handcrafted/forensic")
    values = extractor.features(grey(frame))["frames"].data.flatten().tolist()
    return dict(zip(extractor.feature_names, values, strict=True))


def noisy(seed: int = 0, shape: tuple[int, int] = (128, 160), deviation: float = 20) -> np.ndarray:
    return np.round(128 + deviation * np.random.default_rng(seed).standard_normal(shape)).clip(0, 255)


def blocky(shape: tuple[int, int] = (16, 20)) -> np.ndarray:
    return np.kron(np.random.default_rng(1).integers(0, 256, shape), np.ones((8, 8)))


def test_a_purely_blocky_frame_scores_high_and_noise_low():
    high, low = measured(blocky()), measured(noisy())
    for name in ("block_rows", "block_columns", "block_any_phase_rows", "block_any_phase_columns"):
        assert high[name] > 0.95, name
        assert abs(low[name]) < 0.1, name
    assert measured(np.full((64, 64), 90.0))["block_rows"] == 0


def test_a_cropped_grid_is_found_at_another_phase():
    cropped = measured(blocky()[3:, 5:])
    assert cropped["block_rows"] < 0 and cropped["block_columns"] < 0
    assert cropped["block_any_phase_rows"] > 0.95 and cropped["block_any_phase_columns"] > 0.95


def test_a_frame_that_is_blocky_in_one_part_only_is_uneven():
    frame = noisy()
    frame[:64, :80] = blocky((8, 10))
    assert measured(frame)["block_unevenness"] > 0.3
    assert measured(noisy())["block_unevenness"] < 0.1
    assert measured(blocky())["block_unevenness"] < 0.1


def test_rows_and_columns_are_not_swapped():
    stripes = np.repeat(np.kron(np.arange(16) % 2 * 200.0, np.ones(8))[:, None], 128, 1)
    found = measured(stripes)
    assert found["block_rows"] > 0.95 and found["block_columns"] == 0


def test_blurring_lowers_every_focus_measure():
    sharp = noisy(2)
    found = [measured(ndimage.gaussian_filter(sharp, sigma)) for sigma in (0.001, 0.7, 1.5, 3)]
    for name in SHARPNESS:
        values = [row[name] for row in found]
        assert values == sorted(values, reverse=True) and values[0] > 2 * values[-1], (name, values)


def test_focus_measures_equal_their_definitions():
    frame = noisy(3, (40, 56))
    got = dict(zip(SHARPNESS, sharpness(torch.from_numpy(frame)[None, None])[0].tolist(), strict=True))
    laplacian = ndimage.laplace(frame)[1:-1, 1:-1]
    across, down = (ndimage.sobel(frame, axis)[1:-1, 1:-1] for axis in (1, 0))
    brenner = ((frame[2:] - frame[:-2]) ** 2).mean() + ((frame[:, 2:] - frame[:, :-2]) ** 2).mean()
    expected = {
        "log_laplacian_variance": np.log1p(laplacian.var()),
        "log_laplacian_mean_abs": np.log1p(np.abs(laplacian).mean()),
        "sobel_mean": np.hypot(across, down).mean(),
        "log_tenengrad": np.log1p((across**2 + down**2).mean()),
        "log_brenner": np.log1p(brenner),
    }
    assert got == pytest.approx(expected, rel=1e-9)


def test_the_noise_residual_is_what_a_median_filter_removes():
    frame = noisy(4, (48, 64))
    got = dict(zip(NOISE, noise(torch.from_numpy(frame)[None, None])[0].tolist(), strict=True))
    residual = frame - ndimage.median_filter(frame, 3, mode="nearest")
    assert got["noise_std"] == pytest.approx(residual.std())
    assert got["noise_mean_abs"] == pytest.approx(np.abs(residual).mean())
    centred = residual - residual.mean()
    assert got["noise_kurtosis"] == pytest.approx((centred**4).mean() / residual.var() ** 2, rel=1e-3)
    assert got["noise_correlation_columns"] == pytest.approx(
        (centred[:, 1:] * centred[:, :-1]).mean() / residual.var(), rel=1e-3
    )


def test_noise_grows_with_noise_and_a_pasted_region_is_uneven():
    quiet, loud = measured(noisy(5, deviation=3)), measured(noisy(5, deviation=12))
    assert 3 < loud["noise_std"] / quiet["noise_std"] < 5
    pasted = noisy(6, deviation=3)
    pasted[:64, :80] = noisy(7, (64, 80), deviation=15)
    assert measured(pasted)["noise_unevenness"] > 3 * quiet["noise_unevenness"]


def test_dct_bands_equal_scipy_s():
    frame = noisy(8, (24, 40))
    got = dict(zip(DCT, dct_bands(torch.from_numpy(frame)[None, None])[0].tolist(), strict=True))
    blocks = frame.reshape(3, 8, 5, 8).swapaxes(1, 2)
    coefficients = fft.dctn(blocks, axes=(2, 3), norm="ortho").reshape(-1, 8, 8)
    order = np.add.outer(np.arange(8), np.arange(8))
    assert got["dct_mean_std"] == pytest.approx(blocks.mean((2, 3)).std())
    squares = {}
    for band, inside in (
        ("low", (order >= 1) & (order <= 4)),
        ("middle", (order > 4) & (order < 9)),
        ("high", order > 8),
    ):
        part = coefficients[:, inside]
        squares[band] = (part**2).sum()
        assert got[f"dct_{band}_mean_abs"] == pytest.approx(np.abs(part).mean())
        assert got[f"dct_{band}_std"] == pytest.approx(np.sqrt((part**2).mean()))
        assert got[f"dct_{band}_zeros"] == pytest.approx((np.abs(part) < 0.5).mean())
    assert got["dct_high_share"] == pytest.approx(squares["high"] / sum(squares.values()), rel=1e-4)


def test_quantising_the_dct_raises_the_share_of_zeros():
    frame = noisy(9, (64, 64), 15)
    blocks = fft.dctn(frame.reshape(8, 8, 8, 8).swapaxes(1, 2), axes=(2, 3), norm="ortho")
    coarse = fft.idctn(np.round(blocks / 40) * 40, axes=(2, 3), norm="ortho").swapaxes(1, 2).reshape(64, 64)
    assert measured(np.round(coarse))["dct_high_zeros"] > measured(frame)["dct_high_zeros"] + 0.3


def test_luma_is_bt601_and_tiny_frames_are_padded():
    pure = torch.zeros(3, 3, 20, 20)
    for channel in range(3):
        pure[channel, channel] = 255
    assert luma(pure)[:, 0, 0, 0].tolist() == pytest.approx([76.245, 149.685, 29.07])
    for height, width in ((1, 1), (3, 70), (17, 2)):
        found = measured(np.full((height, width), 50.0))
        assert all(np.isfinite(list(found.values())))


def test_pooled_features_are_mean_and_deviation_over_frames():
    video = torch.cat([grey(noisy(i, (32, 40))) for i in range(3)], 1)
    extractor = create("handcrafted/forensic", outputs=("pooled", "frames"))
    maps = extractor.features(video)
    frames = maps["frames"].data[0, :, :, 0, 0]
    pooled = dict(zip(extractor.feature_names, maps["pooled"].data.flatten().tolist(), strict=True))
    assert extractor.feature_names == POOLED_FEATURES
    index = FRAME_FEATURES.index("log_tenengrad")
    assert pooled["mean_log_tenengrad"] == pytest.approx(frames[index].mean().item(), rel=1e-5)
    assert pooled["std_log_tenengrad"] == pytest.approx(frames[index].std(correction=0).item(), rel=1e-3)
    assert len(set(POOLED_FEATURES)) == 2 * len(set(FRAME_FEATURES)) == 2 * len(FRAME_FEATURES)


def test_only_the_statistics_of_single_frames_are_causal():
    assert create("handcrafted/forensic").spec.causal
    assert not create("handcrafted/forensic", outputs=("pooled",)).spec.causal


def write_video(path: Path, codec: str, rate: int) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(10):
            pixels = np.full((48, 64, 3), 20 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def test_codec_cues_say_how_a_file_was_encoded(tmp_path: Path):
    write_video(tmp_path / "a.mp4", "mpeg4", 25)
    write_video(tmp_path / "b.avi", "mjpeg", 10)
    a, b = codec_cues(tmp_path / "a.mp4"), codec_cues(tmp_path / "b.avi")
    assert tuple(a) == tuple(b) == CODEC_FEATURES
    assert (a["fps"], a["width"], a["height"], a["chroma_subsampled"]) == (25, 64, 48, 1)
    assert (b["fps"], b["duration_seconds"]) == (10, pytest.approx(1, abs=0.01))
    assert (a["codec_mpeg4"], a["codec_mjpeg"]) == (1, 0)
    assert (b["codec_mpeg4"], b["codec_mjpeg"]) == (0, 1)
    for cues, frames in ((a, 0.4), (b, 1.0)):
        assert cues["bits_per_pixel"] == pytest.approx(cues["bit_rate"] / (64 * 48 * cues["fps"]))
        assert 0 < cues["bit_rate"] * frames / 8 < 40_000
        assert sum(value for name, value in cues.items() if name.startswith("codec_")) == 1
