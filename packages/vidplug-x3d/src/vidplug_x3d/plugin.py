"""Declares the X3D extractors. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from vidcore.plugin import ClassifierInfo, ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import VARIANTS, Variant


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    return ExtractorSpec(
        name=name,
        target="vidplug_x3d.extractor:X3dExtractor",
        config="vidplug_x3d.config:X3dConfig",
        summary=f"efficient 3D ResNet, {v.frames} frames of {v.size} pixels; one {v.projection}-d vector a clip",
        reference="arXiv:2004.04730",
        licence="Apache-2.0",
        outputs={
            "projected": FeatureInfo(v.projection, (None, None, None)),
            "steps": FeatureInfo(v.projection, (1, None, None)),
            "conv5": FeatureInfo(v.hidden, (1, 32, 32)),
            **{f"res{k + 2}": FeatureInfo(width, (1, 4 * 2**k, 4 * 2**k)) for k, width in enumerate(v.widths)},
        },
        # Resized and cropped as in the hub's transform: ShortSideScale, CenterCropVideo.
        clip=ClipFormat(
            frames=v.frames,
            stride_frames=v.stride_frames,
            fps=30.0,
            spacing="last",
            size=(v.size, v.size),
            resize_short=v.size,
            antialias=False,
            mean=(0.45, 0.45, 0.45),
            std=(0.225, 0.225, 0.225),
            overlap_frames=v.frames // 4,
        ),
        numerics_revision=2,
        parameters=v.parameters,
        weights=_weights(v),
        # PySlowFast's test adds up the softmaxes of all views.
        classifier=ClassifierInfo(averages="probabilities"),
        default=name == "x3d/m",
    )


def _weights(v: Variant) -> tuple[WeightsInfo, ...]:
    if not v.file:
        return ()
    return (
        WeightsInfo(
            tag="k400",
            source=f"https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/{v.file}",
            licence="Apache-2.0",
            trained_on="Kinetics-400",
            score=f"Kinetics-400 top-1 {v.top1} %, top-5 {v.top5} % (30 views)",
            classes="kinetics400",
        ),
    )
