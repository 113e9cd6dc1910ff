"""Declares the V-JEPA 2 extractors. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from vidcore.plugin import ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import VARIANTS, Published, Variant


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    return ExtractorSpec(
        name=name,
        target="vidplug_vjepa2.extractor:VJepa2Extractor",
        config="vidplug_vjepa2.config:VJepa2Config",
        summary=f"self-supervised video ViT, rotary space-time positions, {v.depth} blocks, width {v.width}",
        reference="arXiv:2506.09985",
        licence="MIT",
        outputs={n: FeatureInfo(v.width, (2, 16, 16)) for n in v.outputs},
        clip=_clip(v.size),
        numerics_revision=2,
        parameters=v.parameters,
        weights=tuple(info for w in v.weights for info in _weights(w, v.size)),
        default=name == "vjepa2/vitl",
    )


def _clip(size: int, *, original: bool = False) -> ClipFormat:
    # Clips of 16 and of 64 frames were trained on, at 4 frames a second; rotary positions need no table, so
    # a shorter clip is read as it is rather than padded. The hub's video processor antialiases and rounds odd margins
    # down; the authors resize by OpenCV's bilinear interpolation and round to even.
    return ClipFormat(
        stride_frames=1,
        fps=4.0,
        spacing="end",
        min_frames=2,
        max_frames=64,
        frame_multiple=2,
        size=(size, size),
        resize_short=size * 256 // 224,
        antialias=not original,
        crop_rounding="nearest" if original else "down",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        overlap_frames=16,
    )


def _weights(w: Published, size: int) -> tuple[WeightsInfo, WeightsInfo]:
    facts = {
        "licence": "MIT",
        "trained_on": "VideoMix22M (22 M videos and images, no labels)",
        "score": w.score,
    }
    return (
        WeightsInfo(
            tag=w.tag,
            source=f"hf:{w.repository}/model.safetensors",
            clip=None if w.size == size else _clip(w.size),
            note="converted from encoder of the authors' file, as torch.hub loads it",
            **facts,
        ),
        WeightsInfo(
            tag=f"{w.tag}_original",
            source=w.original,
            clip=_clip(w.size, original=True),
            note="target_encoder of the file, the moving average, as the authors' evaluations load it",
            **facts,
        ),
    )
