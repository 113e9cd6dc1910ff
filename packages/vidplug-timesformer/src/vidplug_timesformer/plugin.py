"""Declares the TimeSformer extractors. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from vidcore.plugin import ClassifierInfo, ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import VARIANTS, Variant


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    grid = FeatureInfo(v.width, (1, 16, 16))
    pooled = FeatureInfo(v.width, (None, None, None))
    return ExtractorSpec(
        name=name,
        target="vidplug_timesformer.extractor:TimesformerExtractor",
        config="vidplug_timesformer.config:TimesformerConfig",
        summary=f"video ViT, attention over time then space in each of {v.depth} blocks, width {v.width}",
        reference="arXiv:2102.05095",
        licence="Apache-2.0",
        outputs={n: pooled if n == "cls" else grid for n in v.outputs},
        clip=_clip(v),
        numerics_revision=2,
        parameters=v.parameters,
        weights=tuple(
            WeightsInfo(
                tag=w.tag,
                source=f"hf:facebook/timesformer-base-finetuned-{w.tag}/pytorch_model.bin",
                licence="CC-BY-NC-4.0",
                trained_on=w.trained_on,
                score=w.score,
                classes=w.classes,
                clip=_clip(v, paced=False) if w.tag == "ssv2" else None,
            )
            for w in v.weights
        ),
        # The authors' test adds up the logits of three crops.
        classifier=ClassifierInfo(averages="logits"),
        default=name == "timesformer/base",
    )


def _clip(v: Variant, *, paced: bool = True) -> ClipFormat:
    # Kinetics: 8 frames with a sampling rate of 32 (configs/Kinetics/TimeSformer_divST_8x32_224.yaml) by PySlowFast's
    # loader (timesformer/datasets/decoder.py, target_fps=30). Something-Something: 8 frames of the whole video.
    pace = {"stride_frames": 32, "fps": 30.0, "spacing": "last"} if paced else {}
    return ClipFormat(
        frames=v.frames,
        size=(v.size, v.size),
        crop_rounding="down",
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        overlap_frames=v.frames // 4,
        **pace,
    )
