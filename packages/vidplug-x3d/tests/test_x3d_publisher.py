"""Preprocessing equals the transform of PyTorchVideo's hub pages."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from vidcore.catalog import installed
from vidcore.preprocess import fit_frames, scale_pixels


def published(frames: torch.Tensor, side: int) -> torch.Tensor:
    """The transform of PyTorchVideo's hub pages, written from its definition (its module does not import any more):
    x / 255, NormalizeVideo, ShortSideScale without antialiasing, CenterCropVideo. (T, 3, H, W) -> (3, T, side, side)
    """
    clip = ((frames.float() / 255 - 0.45) / 0.225).transpose(0, 1)
    height, width = clip.shape[-2:]
    if width < height:
        size = (math.floor(float(height) / width * side), side)
    else:
        size = (side, math.floor(float(width) / height * side))
    clip = F.interpolate(clip, size=size, mode="bilinear", align_corners=False)
    top, left = (round((n - side) / 2.0) for n in size)
    return clip[..., top : top + side, left : left + side]


@pytest.mark.parametrize(("name", "side"), [("x3d/xs", 182), ("x3d/m", 256), ("x3d/l", 356)])
def test_preprocessing_is_pytorchvideo_s_own(name: str, side: int, publisher_clip: torch.Tensor) -> None:
    clip = installed().find("extractor", name)[0].spec.clip
    expected = published(publisher_clip, side)
    got = scale_pixels(fit_frames(publisher_clip[None], clip), clip)[0]
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 0.02
