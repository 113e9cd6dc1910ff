"""Declares the Open-MAGVIT2 video tokenizers. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from vidcore.plugin import ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import VARIANTS, Variant


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    a = v.architecture
    stride = (a.time_stride, a.space_stride, a.space_stride)
    return ExtractorSpec(
        name=name,
        target="vidplug_magvit.extractor:MagvitExtractor",
        config="vidplug_magvit.config:MagvitConfig",
        summary=(
            f"video tokenizer: causal 3D convolutions, 2^{a.z_channels} lookup-free codes, width {a.mid_channels}, "
            "decoder included; causal with norm=frame, the published norms span the clip"
        ),
        reference="arXiv:2409.04410",
        licence="Apache-2.0",
        outputs={"mid": FeatureInfo(a.mid_channels, stride), "latents": FeatureInfo(a.z_channels, stride)},
        # Trained on 17 consecutive frames, their short side resized to 128 pixels, in [-1, 1].
        clip=ClipFormat(
            stride_frames=1,
            size=(128, 128),
            # The authors resize by OpenCV's bilinear interpolation, which does not antialias.
            antialias=False,
            value_range=(-1.0, 1.0),
            min_frames=1,
            max_frames=17,
            frame_multiple=a.time_stride,
            frame_offset=1,
            # Starts of windows are multiples of 4, so with 5 shared frames they share one step, and the first,
            # one-frame step of a window never has to stand in for one of its neighbour's.
            overlap_frames=a.time_stride + 1,
        ),
        numerics_revision=2,
        parameters=v.parameters,
        weights=_weights(v),
        default=name == "magvit2/video_262144",
        # The group norms as published average over the clip: a later frame rescales earlier steps.
        causal=False,
    )


def _weights(v: Variant) -> tuple[WeightsInfo, ...]:
    if not v.file:
        return ()
    return (
        WeightsInfo(
            tag="ucf101",
            source=f"hf:{v.file}",
            licence="Apache-2.0",
            trained_on="UCF-101 (reconstruction, no labels), starting from an image tokenizer of ImageNet-1k",
            score=v.score,
        ),
    )
