"""Preprocessing equals the processors of the hub's files, and the authors' transform for theirs."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torchvision import transforms
from transformers import BitImageProcessor, DINOv3ViTImageProcessor
from vidcore.catalog import ClipFormat, installed
from vidcore.preprocess import fit_frames, scale_pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def difference(name: str, tag: str, frames: torch.Tensor, expected: torch.Tensor) -> float:
    spec = installed().find("extractor", name)[0].spec
    clip: ClipFormat = next(w for w in spec.weights if w.tag == tag).clip or spec.clip
    got = scale_pixels(fit_frames(frames[None], clip), clip)[0].transpose(0, 1)
    assert got.shape == expected.shape
    return float((got - expected).abs().max())


@pytest.mark.parametrize("name", ["dinov2/vits14", "dinov2/vitb14_reg"])
def test_preprocessing_of_the_hub_s_files_is_that_of_their_processor(name: str, publisher_clip: torch.Tensor) -> None:
    # preprocessor_config.json of facebook/dinov2-*.
    processor = BitImageProcessor(
        size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224}, resample=3, image_mean=MEAN, image_std=STD
    )
    expected = processor(list(publisher_clip), return_tensors="pt")["pixel_values"]
    assert difference(name, "lvd142m", publisher_clip, expected) < 0.02


def test_preprocessing_of_the_authors_files_is_the_authors_own(publisher_clip: torch.Tensor) -> None:
    # make_classification_eval_transform of facebookresearch/dinov2.
    transform = transforms.Compose(
        [
            transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    pictures = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in publisher_clip]
    expected = torch.stack([transform(picture) for picture in pictures])
    assert difference("dinov2/vits14", "lvd142m_original", publisher_clip, expected) < 0.02


def test_preprocessing_of_dinov3_is_that_of_its_processor(publisher_clip: torch.Tensor) -> None:
    expected = DINOv3ViTImageProcessor()(list(publisher_clip), return_tensors="pt")["pixel_values"]
    assert difference("dinov3/vits16", "lvd1689m", publisher_clip, expected) < 0.02
