"""Declares the DINOv2 and DINOv3 extractors. Read by ``vidcore list-models``, so: no torch here."""

from __future__ import annotations

from dataclasses import replace

from vidcore.plugin import ClipFormat, ExtractorSpec, FeatureInfo, WeightsInfo, hookimpl

from .variants import VARIANTS, Variant

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

# Short side to 256 bicubic, centre 224: the processor of the hub's files, and the evaluation transform of the authors.
# The processor resizes tensors and rounds odd margins down; the authors resize pictures and round to even.
_CLIP_V2 = ClipFormat(
    size=(224, 224),
    resize_short=256,
    interpolation="bicubic",
    crop_rounding="down",
    max_frames=32,
    **_IMAGENET,
)
_CLIP_V2_ORIGINAL = replace(_CLIP_V2, resampler="pillow", crop_rounding="nearest")
# DINOv3 publishes a plain resize of both sides.
_CLIP_V3 = ClipFormat(size=(224, 224), fit="stretch", max_frames=32, **_IMAGENET)
# Satellite images have their own statistics.
_CLIP_SAT = replace(_CLIP_V3, mean=(0.430, 0.411, 0.296), std=(0.213, 0.156, 0.143))


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [_spec(name, variant) for name, variant in VARIANTS.items()]


def _spec(name: str, v: Variant) -> ExtractorSpec:
    v2 = name.startswith("dinov2/")
    tokens = f", {v.registers} registers" if v.registers else ""
    grid = FeatureInfo(v.width, (1, v.patch, v.patch))
    vector = FeatureInfo(v.width)
    return ExtractorSpec(
        name=name,
        target=f"vidplug_dinov2.extractor:Dinov{2 if v2 else 3}Extractor",
        config=f"vidplug_dinov2.config:Dinov{2 if v2 else 3}Config",
        summary=f"frame-wise self-supervised ViT, {v.depth} blocks, width {v.width}, patch {v.patch}{tokens}",
        reference=("arXiv:2309.16588" if v.registers else "arXiv:2304.07193") if v2 else "arXiv:2508.10104",
        licence="Apache-2.0",
        outputs={n: grid if n == "patches" or n.startswith("block") else vector for n in v.outputs},
        clip=_CLIP_V2 if v2 else _CLIP_V3,
        numerics_revision=2,
        parameters=v.parameters,
        weights=_weights_v2(v) if v2 else _weights_v3(name, v),
        default=name in ("dinov2/vits14", "dinov3/vits16"),
        causal=True,
        exempt={"time_order": "every frame is seen on its own: reversing a clip reverses its features"},
    )


def _weights_v2(v: Variant) -> tuple[WeightsInfo, ...]:
    if not v.hub:
        return ()
    facts = {"licence": "Apache-2.0", "trained_on": "LVD-142M (142 M images, no labels)", "score": v.score}
    return (
        WeightsInfo(tag="lvd142m", source=f"hf:{v.hub}/model.safetensors", **facts),
        WeightsInfo(tag="lvd142m_original", source=v.original, clip=_CLIP_V2_ORIGINAL, **facts),
    )


def _weights_v3(name: str, v: Variant) -> tuple[WeightsInfo, ...]:
    if not v.hub:
        return ()
    licence = "DINOv3 License"
    published = [
        WeightsInfo(
            tag="lvd1689m",
            source=f"hf:{v.hub}/model.safetensors",
            licence=licence,
            trained_on="LVD-1689M (1.7 G web images, no labels)",
            score=v.score,
        )
    ]
    if name == "dinov3/vitl16":
        published.append(
            WeightsInfo(
                tag="sat493m",
                source=f"hf:{v.hub.replace('lvd1689m', 'sat493m')}/model.safetensors",
                licence=licence,
                trained_on="SAT-493M (493 M satellite images, no labels)",
                clip=_CLIP_SAT,
            )
        )
    return tuple(published)
