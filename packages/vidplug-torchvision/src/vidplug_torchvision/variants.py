"""The table of torchvision's video models: every other file of this package reads its facts here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["resnet", "s3d", "mvit", "swin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One model of ``torchvision.models.video`` (or a tiny one of the same make, for tests)."""

    family: Family
    builder: str
    """Name under which torchvision registers the model; of a tiny one, the model it is made like."""
    summary: str
    paper: str
    widths: tuple[int, ...]
    """Channels of the stages; the last is the width of the features."""
    time_stride: int
    parameters: int
    """Without the classifier."""
    published_parameters: int | None = None
    """With the 400-way classifier, as torchvision states it; None where nothing is published."""
    enum: str = ""
    scores: tuple[tuple[str, str, float], ...] = ()
    """(weights enum member, trained on, top-1 on Kinetics-400 in percent)."""
    protocol: str = ""
    """How torchvision measured the score."""


_K400 = "Kinetics-400"
_RESNET = "video-level, 5 clips of 16 frames at 15 fps"
_MVIT = "video-level, 5 clips of 16 frames at 7.5 fps"
_SWIN = "video-level, 12 clips of 32 frames at 15 fps"


def _resnet(builder: str, stride: int, held: int, published: int, top1: float, what: str) -> Variant:
    return Variant(
        family="resnet",
        builder=builder,
        summary=what,
        paper="arXiv:1711.11248",
        widths=(64, 128, 256, 512),
        time_stride=stride,
        parameters=held,
        published_parameters=published,
        enum={"r3d_18": "R3D_18_Weights", "mc3_18": "MC3_18_Weights", "r2plus1d_18": "R2Plus1D_18_Weights"}[builder],
        scores=(("KINETICS400_V1", _K400, top1),),
        protocol=_RESNET,
    )


def _mvit(builder: str, paper: str, held: int, published: int, enum: str, top1: float) -> Variant:
    return Variant(
        family="mvit",
        builder=builder,
        summary="multiscale vision Transformer, 16 blocks, pooling attention",
        paper=paper,
        widths=(768,),
        time_stride=2,
        parameters=held,
        published_parameters=published,
        enum=enum,
        scores=(("KINETICS400_V1", _K400, top1),),
        protocol=_MVIT,
    )


def _swin(
    builder: str, width: int, held: int, published: int, enum: str, scores: tuple[tuple[str, str, float], ...]
) -> Variant:
    return Variant(
        family="swin",
        builder=builder,
        summary=f"video Swin Transformer, shifted 8x7x7 windows, width {width}",
        paper="arXiv:2106.13230",
        widths=(width, 2 * width, 4 * width, 8 * width),
        time_stride=2,
        parameters=held,
        published_parameters=published,
        enum=enum,
        scores=scores,
        protocol=_SWIN,
    )


VARIANTS: dict[str, Variant] = {
    "torchvision/r3d_18": _resnet("r3d_18", 8, 33_166_272, 33_371_472, 63.2, "ResNet-18 with 3D convolutions"),
    "torchvision/mc3_18": _resnet("mc3_18", 1, 11_490_240, 11_695_440, 63.96, "ResNet-18, 3D stem, then 2D"),
    "torchvision/r2plus1d_18": _resnet(
        "r2plus1d_18", 8, 31_300_125, 31_505_325, 67.463, "ResNet-18, factorised (2+1)D"
    ),
    "torchvision/s3d": Variant(
        family="s3d",
        builder="s3d",
        summary="Inception with separable 3D convolutions",
        paper="arXiv:1712.04851",
        widths=(1024,),
        time_stride=8,
        parameters=7_910_048,
        published_parameters=8_320_048,
        enum="S3D_Weights",
        scores=(("KINETICS400_V1", _K400, 68.368),),
        protocol="clip-level, 1 clip of 128 frames at 15 fps",
    ),
    "torchvision/mvit_v1_b": _mvit(
        "mvit_v1_b", "arXiv:2104.11227", 36_303_072, 36_610_672, "MViT_V1_B_Weights", 78.477
    ),
    "torchvision/mvit_v2_s": _mvit(
        "mvit_v2_s", "arXiv:2112.01526", 34_230_144, 34_537_744, "MViT_V2_S_Weights", 80.757
    ),
    "torchvision/swin3d_t": _swin(
        "swin3d_t", 96, 27_850_470, 28_158_070, "Swin3D_T_Weights", (("KINETICS400_V1", _K400, 77.715),)
    ),
    "torchvision/swin3d_s": _swin(
        "swin3d_s", 96, 49_509_078, 49_816_678, "Swin3D_S_Weights", (("KINETICS400_V1", _K400, 79.521),)
    ),
    "torchvision/swin3d_b": _swin(
        "swin3d_b",
        128,
        87_638_984,
        88_048_984,
        "Swin3D_B_Weights",
        (
            ("KINETICS400_V1", "ImageNet-1k, Kinetics-400", 79.427),
            ("KINETICS400_IMAGENET22K_V1", "ImageNet-22k, Kinetics-400", 81.643),
        ),
    ),
}


def _tiny(like: str, widths: tuple[int, ...], parameters: int) -> tuple[str, Variant]:
    full = VARIANTS[like]
    return f"{like}_test", Variant(
        family=full.family,
        builder=full.builder,
        summary=full.summary,
        paper=full.paper,
        widths=widths,
        time_stride=full.time_stride,
        parameters=parameters,
    )


VARIANTS |= dict(
    [
        _tiny("torchvision/r3d_18", (8, 16, 32, 64), 265_552),
        _tiny("torchvision/mc3_18", (8, 16, 32, 64), 120_400),
        _tiny("torchvision/r2plus1d_18", (8, 16, 32, 64), 224_117),
        _tiny("torchvision/s3d", (128,), 134_132),
        _tiny("torchvision/mvit_v1_b", (32,), 41_456),
        _tiny("torchvision/mvit_v2_s", (32,), 39_024),
        _tiny("torchvision/swin3d_t", (12, 24, 48, 96), 217_908),
    ]
)
