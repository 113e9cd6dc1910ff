"""Preprocessing equals the processor of transformers, its second normalisation left out."""

from __future__ import annotations

import torch
from transformers import VivitVideoProcessor
from vidcore import create


def test_preprocessing_is_that_of_the_published_processor(publisher_clip: torch.Tensor) -> None:
    with torch.device("meta"):
        extractor = create("vivit/b16x2")
    # As preprocessor_config.json of google/vivit-b-16x2 has it: pixels in [-1, 1], and no more.
    processor = VivitVideoProcessor(do_normalize=False)
    expected = processor(publisher_clip, return_tensors="pt")["pixel_values"][0].transpose(0, 1)
    got = extractor.preprocess(publisher_clip[None])[0]
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 0.02
