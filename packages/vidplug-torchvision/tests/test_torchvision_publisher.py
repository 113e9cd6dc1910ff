"""Preprocessing equals the transform torchvision publishes beside each set of weights."""

from __future__ import annotations

import pytest
import torch
import torchvision
from vidcore.catalog import installed
from vidcore.preprocess import fit_frames, scale_pixels

# One of each published transform: they differ in sizes, statistics and whether the short side alone is given.
WEIGHTS = [
    "torchvision/r2plus1d_18.kinetics400_v1",
    "torchvision/s3d.kinetics400_v1",
    "torchvision/mvit_v2_s.kinetics400_v1",
    "torchvision/swin3d_t.kinetics400_v1",
]


@pytest.mark.parametrize("name", WEIGHTS)
def test_preprocessing_is_torchvision_s_own(name: str, publisher_clip: torch.Tensor) -> None:
    entry, tag = installed().find("extractor", name)
    info = next(w for w in entry.spec.weights if w.tag == tag)
    enum, member = info.source.removeprefix("torchvision:").split(".")
    transform = torchvision.models.get_weight(f"{enum}.{member}").transforms()
    clip = info.clip or entry.spec.clip
    got = scale_pixels(fit_frames(publisher_clip[None], clip), clip)[0]
    expected = transform(publisher_clip)
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 0.02
