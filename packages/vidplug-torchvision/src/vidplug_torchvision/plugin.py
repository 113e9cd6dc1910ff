"""Declares torchvision's video models. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from dataclasses import replace

from vidcore.plugin import ClassifierInfo, ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import VARIANTS, Family, Variant

_KINETICS = {"mean": (0.43216, 0.394666, 0.37645), "std": (0.22803, 0.22145, 0.216989)}
_CLASSES = {"resnet": "ResNetExtractor", "s3d": "S3dExtractor", "mvit": "MvitExtractor", "swin": "SwinExtractor"}

# The transforms that torchvision publishes beside its weights; frame counts and rates are those of its scores.
# The published transform turns antialiasing off for all video models.
_CLIPS: dict[Family, ClipFormat] = {
    "resnet": ClipFormat(
        stride_frames=1,
        fps=15,
        size=(112, 112),
        resize_to=(128, 171),
        antialias=False,
        max_frames=16,
        overlap_frames=8,
        **_KINETICS,
    ),
    "s3d": ClipFormat(
        size=(224, 224),
        resize_to=(256, 256),
        antialias=False,
        stride_frames=1,
        fps=15,
        min_frames=16,
        max_frames=128,
        frame_multiple=8,
        overlap_frames=32,
        **_KINETICS,
    ),
    "mvit": ClipFormat(
        frames=16,
        stride_frames=1,
        fps=7.5,
        size=(224, 224),
        resize_short=256,
        antialias=False,
        overlap_frames=4,
        mean=(0.45,) * 3,
        std=(0.225,) * 3,
    ),
    "swin": ClipFormat(
        size=(224, 224),
        resize_short=256,
        antialias=False,
        stride_frames=1,
        fps=15,
        min_frames=2,
        max_frames=32,
        frame_multiple=2,
        overlap_frames=8,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
}


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    return ExtractorSpec(
        name=name,
        target=f"vidplug_torchvision.extractor:{_CLASSES[v.family]}",
        config="vidplug_torchvision.config:TorchvisionConfig",
        summary=v.summary,
        reference=v.paper,
        licence="BSD-3-Clause",
        outputs=_outputs(v),
        # Tiny variants see small frames, or testing them would take longer than the networks deserve.
        clip=_CLIPS[v.family]
        if v.enum
        else replace(_CLIPS[v.family], size=(64, 64), resize_short=None, resize_to=None),
        numerics_revision=2,
        parameters=v.parameters,
        weights=tuple(_weights(v, *score) for score in v.scores),
        # torchvision's reference script adds up the softmaxes of a video's clips.
        classifier=ClassifierInfo(averages="probabilities"),
        default=name == "torchvision/swin3d_t",
    )


def _outputs(v: Variant) -> dict[str, FeatureInfo]:
    last = FeatureInfo(
        v.widths[-1], (v.time_stride, 16 if v.family == "resnet" else 32, 16 if v.family == "resnet" else 32)
    )
    if v.family == "resnet":
        times = [1, *(2**i if v.time_stride > 1 else 1 for i in (1, 2))]
        inner = {f"layer{i + 1}": FeatureInfo(v.widths[i], (times[i], 2 << i, 2 << i)) for i in range(3)}
        return {"layer4": last, **inner}
    if v.family == "swin":
        return {"norm": last, **{f"stage{i + 1}": FeatureInfo(v.widths[i], (2, 4 << i, 4 << i)) for i in range(4)}}
    return (
        {"features": last, "cls": FeatureInfo(v.widths[-1], (None, None, None))}
        if v.family == "mvit"
        else {"features": last}
    )


def _weights(v: Variant, member: str, trained_on: str, top1: float) -> WeightsInfo:
    # torchvision's file names end in the first digits of their SHA-256; the loader reads them there.
    return WeightsInfo(
        tag=member.lower(),
        source=f"torchvision:{v.enum}.{member}",
        licence="BSD-3-Clause",
        trained_on=trained_on,
        score=f"Kinetics-400 top-1 {top1:g} % ({v.protocol})",
        classes="kinetics400",
    )
