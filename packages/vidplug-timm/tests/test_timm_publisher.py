"""Preprocessing equals timm's own evaluation transform."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg
from vidcore.catalog import installed
from vidcore.preprocess import fit_frames, scale_pixels

# One of each way to the size: crops of several margins and filters, a crop larger than the frame, both sides at once,
# both sides and a crop, not square, and padded.
WEIGHTS = [
    "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "resnet50.a1_in1k",
    "resnet50.tv_in1k",
    "tf_efficientnet_lite0.in1k",
    "volo_d4_448.sail_in1k",
    "convnext_base.clip_laion2b_augreg_ft_in12k_in1k_384",
    "dm_nfnet_f0.dm_in1k",
    "vit_base_patch16_sapiens2.fb",
    "deepseek_vit_412m.deepseek_v4_1_flash",
]


@pytest.mark.parametrize("name", WEIGHTS)
def test_preprocessing_is_timm_s_own(name: str, publisher_clip: torch.Tensor) -> None:
    entry, tag = installed().find("extractor", f"timm/{name}")
    clip = next(w for w in entry.spec.weights if w.tag == tag).clip or entry.spec.clip
    cfg = get_pretrained_cfg(name)
    assert cfg is not None
    transform = create_transform(**resolve_data_config(pretrained_cfg=cfg.to_dict()))
    expected = torch.stack(
        [transform(Image.fromarray(frame.permute(1, 2, 0).numpy())) for frame in publisher_clip], dim=1
    )
    got = scale_pixels(fit_frames(publisher_clip[None], clip), clip)[0]
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 0.02
