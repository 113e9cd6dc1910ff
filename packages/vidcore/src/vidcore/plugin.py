"""All that a plugin author imports to declare components. Importing it imports no framework."""

from vidcore.catalog import (
    ClassifierInfo,
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
    "ClassifierInfo",
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
