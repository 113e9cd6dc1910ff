"""Preprocessing equals the processor of transformers, with the statistics of the published files."""

from __future__ import annotations

import torch
from transformers import VideoMAEVideoProcessor
from vidcore import create


def test_preprocessing_is_that_of_the_published_processor(publisher_clip: torch.Tensor) -> None:
    with torch.device("meta"):
        extractor = create("timesformer/base")
    # preprocessor_config.json of facebook/timesformer-base-*: VideoMAE's processor with these statistics.
    processor = VideoMAEVideoProcessor(image_mean=[0.45] * 3, image_std=[0.225] * 3)
    expected = processor(publisher_clip, return_tensors="pt")["pixel_values"][0].transpose(0, 1)
    got = extractor.preprocess(publisher_clip[None])[0]
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 0.02
