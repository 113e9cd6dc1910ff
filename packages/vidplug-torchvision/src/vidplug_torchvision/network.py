"""torchvision's video models, with or without their classifiers, and tiny ones made of the same parts."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models import get_model
from torchvision.models.video.mvit import MSBlockConfig, MViT
from torchvision.models.video.resnet import (
    BasicBlock,
    BasicStem,
    Conv2Plus1D,
    Conv3DNoTemporal,
    Conv3DSimple,
    R2Plus1dStem,
    VideoResNet,
)
from torchvision.models.video.s3d import S3D, SepInceptionBlock3D, TemporalSeparableConv
from torchvision.models.video.swin_transformer import SwinTransformer3d

from .variants import VARIANTS

CLASSIFIERS = {"resnet": "fc", "s3d": "classifier", "mvit": "head", "swin": "head"}


def build(name: str, classes: int = 0) -> Any:
    """The network of a variant, randomly initialised; with 0 classes its classifier is removed."""
    network = build_whole(name, classes or 400)
    if not classes:
        delattr(network, CLASSIFIERS[VARIANTS[name].family])
    return network


def build_whole(name: str, classes: int = 400) -> Any:
    """The network of a variant as torchvision builds it, classifier included."""
    variant = VARIANTS[name]
    if variant.enum:
        return get_model(variant.builder, num_classes=classes)
    return _TINY[variant.family](variant.builder, classes)


# Position in S3D's sequence -> widths of the branches: 1x1; 1x1 and 3x3; 1x1 and 3x3; pooled 1x1.
_S3D_MIXED = {
    5: (64, 96, 128, 16, 32, 32),
    6: (128, 128, 192, 32, 96, 64),
    8: (192, 96, 208, 16, 48, 64),
    9: (160, 112, 224, 24, 64, 64),
    10: (128, 128, 256, 24, 64, 64),
    11: (112, 144, 288, 32, 64, 64),
    12: (256, 160, 320, 32, 128, 128),
    14: (256, 160, 320, 32, 128, 128),
    15: (384, 192, 384, 48, 128, 128),
}


class _TinyVideoResNet(VideoResNet):
    """A VideoResNet whose stages have an eighth of the channels."""

    def _make_layer(self, block: Any, conv_builder: Any, planes: int, blocks: int, stride: int = 1) -> nn.Sequential:
        layer: nn.Sequential = super()._make_layer(block, conv_builder, planes // 8, blocks, stride)
        return layer


def _tiny_resnet(builder: str, classes: int) -> nn.Module:
    convolutions, stem = {
        "r3d_18": ([Conv3DSimple] * 4, BasicStem),
        "mc3_18": ([Conv3DSimple, *[Conv3DNoTemporal] * 3], BasicStem),
        "r2plus1d_18": ([Conv2Plus1D] * 4, R2Plus1dStem),
    }[builder]
    network = _TinyVideoResNet(BasicBlock, convolutions, [1, 1, 1, 1], stem)
    network.fc = nn.Linear(64, classes)
    return network


def _tiny_s3d(builder: str, classes: int) -> nn.Module:
    """S3D with an eighth of the channels: the same blocks at the same places."""
    network = S3D()

    def norm(channels: int) -> nn.Module:
        return nn.BatchNorm3d(channels, eps=0.001, momentum=0.001)

    def thin(width: int) -> int:
        # Never below eight: a branch of two channels can be dead behind its ReLU from the start.
        return max(width // 8, 8)

    network.features[0] = TemporalSeparableConv(3, 8, 7, 2, 3, norm)
    network.features[2] = nn.Sequential(nn.Conv3d(8, 8, 1, bias=False), norm(8), nn.ReLU(inplace=True))
    network.features[3] = TemporalSeparableConv(8, 24, 3, 1, 1, norm)
    channels = 24
    for index, (b0, b1, b1_out, b2, b2_out, b3) in _S3D_MIXED.items():
        widths = [thin(width) for width in (b0, b1, b1_out, b2, b2_out, b3)]
        network.features[index] = SepInceptionBlock3D(channels, *widths, norm)
        channels = widths[0] + widths[2] + widths[4] + widths[5]
    network.classifier[1] = nn.Conv3d(channels, classes, 1)
    return network


def _tiny_mvit(builder: str, classes: int) -> nn.Module:
    """Four blocks, the spatial stride of the full models (4 in the patches, 8 in the blocks)."""
    second = builder == "mvit_v2_s"
    widths = [(8, 16), (16, 32), (32, 32), (32, 32)] if not second else [(8, 8), (8, 16), (16, 32), (32, 32)]
    queries = [(1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)]
    blocks = [
        MSBlockConfig(1 + (width[1] > 16), *width, [3, 3, 3], [3, 3, 3], list(query), [1, stride, stride])
        for width, query, stride in zip(widths, queries, (8, 4, 2, 1), strict=True)
    ]
    flags = {"residual_pool": second, "rel_pos_embed": second, "proj_after_attn": second}
    return MViT((64, 64), 16, blocks, residual_with_cls_embed=False, num_classes=classes, **flags)


def _tiny_swin(builder: str, classes: int) -> nn.Module:
    return SwinTransformer3d([2, 4, 4], 12, [2, 1, 1, 1], [1, 2, 4, 8], [8, 7, 7], num_classes=classes)


_TINY: dict[str, Any] = {"resnet": _tiny_resnet, "s3d": _tiny_s3d, "mvit": _tiny_mvit, "swin": _tiny_swin}
