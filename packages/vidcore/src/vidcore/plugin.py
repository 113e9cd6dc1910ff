"""All that a plugin author imports to declare components. Importing it imports no framework."""

from vidcore.catalog import (
    ClipFormat,
    DatasetSpec,
    ExtractorSpec,
    FeatureInfo,
    FusionSpec,
    HeadSpec,
    ReadoutSpec,
    WeightsInfo,
    hookimpl,
)

__all__ = [
    "ClipFormat",
    "DatasetSpec",
    "ExtractorSpec",
    "FeatureInfo",
    "FusionSpec",
    "HeadSpec",
    "ReadoutSpec",
    "WeightsInfo",
    "hookimpl",
]
