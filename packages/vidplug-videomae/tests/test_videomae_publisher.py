"""Preprocessing equals the video processor of transformers, with the statistics of the published files."""

from __future__ import annotations

import torch
from transformers import VideoMAEVideoProcessor
from vidcore import create

# preprocessor_config.json of MCG-NJU's repositories.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def test_preprocessing_is_that_of_the_published_processor(publisher_clip: torch.Tensor) -> None:
    with torch.device("meta"):
        extractor = create("videomae/base")
    processor = VideoMAEVideoProcessor(image_mean=MEAN, image_std=STD)
    expected = processor(publisher_clip, return_tensors="pt")["pixel_values"][0].transpose(0, 1)
    got = extractor.preprocess(publisher_clip[None])[0]
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 0.02
