"""Declares the extractors. Read by ``vidcore list-models``, so: no torch, no numpy, no pydantic here."""

from __future__ import annotations

from vidcore.plugin import ClipFormat, ExtractorSpec, FeatureInfo, hookimpl

from .variants import VARIANTS


@hookimpl
def vidcore_extractors() -> list[ExtractorSpec]:
    """Every variant of the table."""
    return [
        ExtractorSpec(
            name=name,
            target="vidplug_template.extractor:Diff3dExtractor",
            config="vidplug_template.config:Diff3dConfig",
            summary=f"3D convolutions over frames and frame differences, width {4 * v.width}, from scratch",
            licence="Apache-2.0",
            # The first output is the default one. Strides are (frames, rows, columns) per step of the map.
            outputs={
                "features": FeatureInfo(4 * v.width, (4, 8, 8)),
                "middle": FeatureInfo(2 * v.width, (2, 4, 4)),
            },
            clip=ClipFormat(size=(64, 64), value_range=(-1.0, 1.0), max_frames=64, overlap_frames=16),
            parameters=v.parameters,
            default=name == "template/diff3d",
        )
        for name, v in VARIANTS.items()
    ]
