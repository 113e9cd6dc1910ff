"""Declares the SlowFast, Slow and C2D extractors. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from collections.abc import Iterator

from vidcore.plugin import ClassifierInfo, ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import VARIANTS, Variant

_REFERENCES = {"slowfast": "arXiv:1812.03982", "slow": "arXiv:1812.03982", "c2d": "arXiv:1711.07971"}
# Frames meet in one max over pairs only, so the features of a reversed clip are the reversed features.
_C2D_EXEMPT = {"time_order": "2D convolutions and a max over pairs of frames: blind to their order"}


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    two = v.architecture == "slowfast"
    stride = v.temporal_stride
    return ExtractorSpec(
        name=name,
        target=f"vidplug_slowfast.extractor:{'SlowFast' if two else 'ResNet'}Extractor",
        config="vidplug_slowfast.config:SlowFastConfig",
        summary=_summary(v),
        reference=_REFERENCES[v.architecture],
        licence="Apache-2.0",
        outputs=dict(_two_pathways(v) if two else _one_pathway(v)),
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
            overlap_frames=v.frames // 4 // stride * stride,
        ),
        numerics_revision=2,
        parameters=v.parameters,
        weights=_weights(v),
        # PySlowFast's test adds up the softmaxes of all views.
        classifier=ClassifierInfo(averages="probabilities"),
        default=name in ("slowfast/r50_8x8", "slow/r50_8x8"),
        exempt=_C2D_EXEMPT if v.architecture == "c2d" else {},
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


def _summary(v: Variant) -> str:
    if v.architecture == "slowfast":
        slow = v.frames // v.alpha
        return f"two pathways, ResNet-{v.depth}: {slow} slow and {v.frames} fast frames"
    kind = "slow pathway alone" if v.architecture == "slow" else "2D convolutions, one temporal max pool"
    return f"{kind}, ResNet-{v.depth}: {v.frames} frames"


def _two_pathways(v: Variant) -> Iterator[tuple[str, FeatureInfo]]:
    slow, fast = v.width * 32, v.width * 4
    yield "features", FeatureInfo(slow + fast, (v.alpha, 32, 32))
    yield "slow", FeatureInfo(slow, (v.alpha, 32, 32))
    yield "fast", FeatureInfo(fast, (1, 32, 32))
    for pathway, narrower, stride in (("slow", 1, v.alpha), ("fast", 8, 1)):
        for k, (stage, width) in enumerate(list(v.stage_widths.items())[:3]):
            yield f"{pathway}_{stage}", FeatureInfo(width // narrower, (stride, 4 * 2**k, 4 * 2**k))


def _one_pathway(v: Variant) -> Iterator[tuple[str, FeatureInfo]]:
    stages = list(enumerate(v.stage_widths.items()))
    for k, (stage, width) in [stages[3], *stages[:3]]:
        stride = 1 if stage == "res2" else v.temporal_stride
        yield stage, FeatureInfo(width, (stride, 4 * 2**k, 4 * 2**k))
