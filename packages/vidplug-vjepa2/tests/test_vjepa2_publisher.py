"""Preprocessing equals the hub's video processor for the hub's files, and the authors' transform for theirs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from transformers import VJEPA2VideoProcessor
from vidcore.catalog import ClipFormat, installed
from vidcore.preprocess import fit_frames, scale_pixels

SPEC = installed().find("extractor", "vjepa2/vitg")[0].spec


def clip_of(tag: str) -> ClipFormat:
    return next(w for w in SPEC.weights if w.tag == tag).clip or SPEC.clip


@pytest.mark.parametrize("side", [256, 384])
def test_preprocessing_is_that_of_the_hub_s_processor(side: int, publisher_clip: torch.Tensor) -> None:
    clip = clip_of(f"fpc64_{side}")
    processor = VJEPA2VideoProcessor(crop_size=side)
    expected = processor(publisher_clip, return_tensors="pt")["pixel_values_videos"][0].transpose(0, 1)
    got = scale_pixels(fit_frames(publisher_clip[None], clip), clip)[0]
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 0.02


def test_preprocessing_of_the_authors_file_is_the_authors_own(publisher_clip: torch.Tensor) -> None:
    """Written from src/datasets/utils/video: int(size * long / short), bilinear, int(round(margin / 2))."""
    clip = clip_of("fpc64_256_original")
    height, width = publisher_clip.shape[-2:]
    short = int(256 * 256 / 224)
    size = (short, int(short * width / height)) if height <= width else (int(short * height / width), short)
    frames = F.interpolate(publisher_clip.float(), size, mode="bilinear")
    top, left = (round((n - 256) / 2.0) for n in size)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = ((frames[..., top : top + 256, left : left + 256] / 255 - mean) / std).transpose(0, 1)
    got = scale_pixels(fit_frames(publisher_clip[None], clip), clip)[0]
    assert (got - expected).abs().max() < 0.02


def test_info_says_which_encoder_of_the_authors_file_is_taken() -> None:
    notes = {w.tag: w.note for w in SPEC.weights}
    assert notes["fpc64_256_original"].startswith("target_encoder")
    assert notes["fpc64_256"].startswith("converted from encoder")
