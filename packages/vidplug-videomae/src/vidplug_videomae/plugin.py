"""Declares the VideoMAE extractors. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from vidcore.plugin import ClassifierInfo, ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import VARIANTS, Variant


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    grid = FeatureInfo(v.width, (2, 16, 16))
    pooled = FeatureInfo(v.width, (None, None, None))
    return ExtractorSpec(
        name=name,
        target="vidplug_videomae.extractor:VideoMaeExtractor",
        config="vidplug_videomae.config:VideoMaeConfig",
        summary=f"masked-autoencoder video ViT, joint space-time attention, {v.depth} blocks, width {v.width}",
        reference="arXiv:2203.12602",
        licence="Apache-2.0",
        outputs={n: pooled if n == "pooled" else grid for n in v.outputs},
        clip=_clip(v),
        numerics_revision=2,
        parameters=v.parameters,
        weights=tuple(
            WeightsInfo(
                tag=w.tag,
                source=f"hf:{w.repository}/pytorch_model.bin",
                licence="CC-BY-NC-4.0",
                trained_on=w.trained_on,
                score=w.score,
                classes=w.classes,
                clip=_clip(v, paced=False) if w.tag.startswith("ssv2") else None,
            )
            for w in v.weights
        ),
        # The authors' test averages the softmaxes of all views.
        classifier=ClassifierInfo(averages="probabilities"),
        default=name == "videomae/base",
    )


def _clip(v: Variant, *, paced: bool = True) -> ClipFormat:
    # Kinetics: 16 frames, every 4th one (kinetics.py of the authors' repository). Their loader counts the video's own
    # frames; that these are 30 a second is said here, so that videos of other rates are seen at the same pace.
    # Something-Something: 16 frames spread over the whole video (ssv2.py; arXiv:2203.12602).
    pace = {"stride_frames": 4, "fps": 30.0} if paced else {}
    return ClipFormat(
        frames=16,
        size=(v.size, v.size),
        crop_rounding="down",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        overlap_frames=4,
        **pace,
    )
