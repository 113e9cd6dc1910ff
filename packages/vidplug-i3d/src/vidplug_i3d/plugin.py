"""Declares the I3D extractors. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from vidcore.plugin import ClassifierInfo, ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import VARIANTS, Variant


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    inception = v.architecture == "inception"
    return ExtractorSpec(
        name=name,
        target=f"vidplug_i3d.extractor:{'Inception' if inception else 'ResNet'}I3dExtractor",
        config="vidplug_i3d.config:I3dConfig",
        summary="inflated Inception-v1, any number of frames; the network of FVD"
        if inception
        else f"inflated ResNet-50: {v.frames} frames",
        reference="arXiv:1705.07750",
        licence="Apache-2.0",
        outputs={name: FeatureInfo(dim, (time, space, space)) for name, (dim, time, space) in v.outputs.items()},
        clip=_inception_clip(v) if inception else _resnet_clip(v),
        numerics_revision=2,
        parameters=v.parameters,
        weights=_weights(v),
        # DeepMind averages the logits over time; PySlowFast, whose test these scores are, adds up softmaxes of views.
        classifier=ClassifierInfo(averages="logits" if inception else "probabilities"),
        default=name == "i3d/r50_8x8",
    )


def _resnet_clip(v: Variant) -> ClipFormat:
    # Resized and cropped as in the transform of PyTorchVideo's hub page: ShortSideScale, CenterCropVideo.
    return ClipFormat(
        frames=v.frames,
        stride_frames=v.stride_frames,
        fps=v.fps,
        spacing="last",
        size=(v.size, v.size),
        resize_short=v.resize_short,
        antialias=False,
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        overlap_frames=v.frames // 4 // v.temporal_stride * v.temporal_stride,
    )


def _inception_clip(v: Variant) -> ClipFormat:
    # The authors classify whole videos at once; here a window of a training clip's length bounds the memory.
    # Short side to 256 by plain bilinear interpolation, centre 224 (README of deepmind/kinetics-i3d).
    return ClipFormat(
        stride_frames=v.stride_frames,
        fps=v.fps,
        size=(v.size, v.size),
        resize_short=v.resize_short,
        antialias=False,
        value_range=(-1.0, 1.0),
        max_frames=v.frames,
        overlap_frames=v.frames // 4 // v.temporal_stride * v.temporal_stride,
    )


def _weights(v: Variant) -> tuple[WeightsInfo, ...]:
    if not v.source:
        return ()
    return (
        WeightsInfo(
            tag="k400",
            source=v.source,
            licence="Apache-2.0",
            trained_on=v.trained_on,
            score=v.score,
            classes="kinetics400",
        ),
    )
