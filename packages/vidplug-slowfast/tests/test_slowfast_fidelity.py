"""Against pytorchvideo's own models, in the same process, with the same weights."""

from __future__ import annotations

import pytest
import torch
from pytorchvideo.models import hub
from pytorchvideo.models.hub import resnet, slowfast
from pytorchvideo.models.slowfast import create_slowfast
from torch import Tensor, nn
from vidcore import create
from vidcore.weights import load_weights

# Parameters with the 400-way head, from building the published definitions.
COUNTS = {
    "slowfast/r50_8x8": 34_566_488,
    "slowfast/r50_4x16": 34_480_216,
    "slowfast/r101_8x8": 62_826_968,
    "slowfast/r101_16x8": 53_774_808,
    "slow/r50_8x8": 32_454_096,
    "slowfast/c2d_r50": 24_327_632,
}


def published(name: str) -> nn.Module:
    """The authors' model with its head, pools sized for 64x64 frames; trained-looking statistics."""
    match name:
        case "slowfast/r50_8x8":
            return hub.slowfast_r50()
        case "slowfast/r50_4x16":
            # Not in the hub; the settings of the model zoo's SLOWFAST_4x16_R50.
            return create_slowfast(
                slowfast_fusion_conv_kernel_size=(5, 1, 1),
                slowfast_fusion_conv_stride=(8, 1, 1),
                head_pool_kernel_sizes=((4, 7, 7), (32, 7, 7)),
            )
        case "slowfast/r101_8x8":
            return hub.slowfast_r101()
        case "slowfast/r101_16x8":
            return hub.slowfast_16x8_r101_50_50()
        case "slow/r50_8x8":
            return hub.slow_r50()
        case _:
            return hub.c2d_r50()


@torch.no_grad()
def lively(model: nn.Module) -> nn.Module:
    """Statistics and scales as of a trained network: the published initialisation silences every residual branch."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.copy_(0.5 + 0.2 * torch.randn(module.weight.shape, generator=generator))
            module.running_mean.copy_(0.1 * torch.randn(module.running_mean.shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    return model.eval()


def pack(clip: Tensor, alpha: int) -> list[Tensor]:
    """The published PackPathway transform, on a batch."""
    index = torch.linspace(0, clip.shape[2] - 1, clip.shape[2] // alpha).long()
    return [torch.index_select(clip, 2, index), clip]


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_count_with_the_published_head(name: str) -> None:
    with torch.device("meta"):
        model = published(name)
        extractor = create(name)
    head = sum(p.numel() for p in model.blocks[-1].parameters())
    assert sum(p.numel() for p in model.parameters()) == COUNTS[name]
    assert sum(p.numel() for p in extractor.parameters()) == extractor.spec.parameters == COUNTS[name] - head


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("slowfast/r50_8x8", slowfast.checkpoint_paths["slowfast_r50"]),
        ("slowfast/r101_8x8", slowfast.checkpoint_paths["slowfast_r101"]),
        ("slowfast/r101_16x8", slowfast.checkpoint_paths["slowfast_16x8_r101_50_50"]),
        ("slow/r50_8x8", resnet.checkpoint_paths["slow_r50"]),
        ("slowfast/c2d_r50", resnet.checkpoint_paths["c2d_r50"]),
    ],
)
def test_weights_are_where_the_library_looks_for_them(name: str, source: str) -> None:
    with torch.device("meta"):
        assert [weights.source for weights in create(name).spec.weights if weights.tag == "k400"] == [source]


@pytest.mark.parametrize("name", COUNTS)
def test_published_file_gives_the_published_logits(name: str, tmp_path) -> None:
    reference = lively(published(name))
    torch.save({"model_state": reference.state_dict(), "epoch": 196}, tmp_path / "published.pyth")
    extractor = create(name)
    report = load_weights(extractor, str(tmp_path / "published.pyth"))
    last = len(reference.blocks) - 1
    assert report.matched_fraction == 1
    assert report.missing == ()
    assert sorted(report.left_over) == [f"blocks.{last}.proj.bias", f"blocks.{last}.proj.weight"]

    frames = extractor.clip.frames
    clip = torch.randn(1, 3, frames, 64, 64, generator=torch.Generator().manual_seed(1))
    two = extractor.variant.alpha > 1
    # The published pools are 7x7 for 224-pixel frames; those of 64-pixel frames are 2x2.
    if two:
        reference.blocks[-2].pool = nn.ModuleList(
            nn.AvgPool3d((t, 2, 2)) for t in (frames // extractor.variant.alpha, frames)
        )
    else:
        reference.blocks[-1].pool = nn.AvgPool3d((frames // extractor.variant.temporal_stride, 2, 2))
    with torch.no_grad():
        expected = reference(pack(clip, extractor.variant.alpha) if two else clip)
        fmap = extractor(clip)[extractor.spec.default_output]
        logits = reference.blocks[-1].proj(fmap.data.mean((2, 3, 4)))
    assert expected.std() > 1e-4
    assert (logits - expected).norm() / expected.norm() < 1e-5
    whole = create(name, outputs=("logits",), weights=str(tmp_path / "published.pyth"))
    assert whole.weights_report.missing == whole.weights_report.left_over == ()
    with torch.no_grad():
        assert (whole(clip)["logits"].data.flatten(1) - expected).norm() / expected.norm() < 1e-5


def test_published_evaluation_crop_has_several_windows_of_the_published_pool() -> None:
    """At 256 pixels the published head averages over 2x2 windows of 7x7: the same on our maps."""
    reference = lively(hub.slow_r50())
    extractor = create("slow/r50_8x8", outputs=("res5", "logits"), classes="kinetics400")
    extractor.load_state_dict(extractor.convert(reference.state_dict()))
    clip = torch.randn(1, 3, 8, 256, 256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = extractor(clip)
        res5 = maps["res5"].data
        assert tuple(res5.shape) == (1, 2048, 8, 8, 8)
        logits = reference.blocks[-1](res5)
        expected = reference(clip)
    assert torch.allclose(logits, expected, rtol=1e-5, atol=1e-6)
    assert torch.allclose(maps["logits"].data.flatten(1), expected, rtol=1e-4, atol=1e-5)
