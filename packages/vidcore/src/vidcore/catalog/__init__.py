"""Specs, names, hooks, discovery and the registry: all that is known before a framework is imported."""

from vidcore.catalog._discovery import Plugin, discover
from vidcore.catalog._door import load_config, load_target
from vidcore.catalog._hooks import GROUP, HOOKS, hookimpl
from vidcore.catalog._labels import class_names, label_set_of, plain_label
from vidcore.catalog._registry import Entry, Registry, closest, installed
from vidcore.catalog._specs import (
    KINDS,
    LOGITS,
    PROBABILITIES,
    ClassifierInfo,
    ClipFormat,
    ComponentSpec,
    DatasetSpec,
    ExtractorSpec,
    FeatureInfo,
    FusionSpec,
    HeadSpec,
    Kind,
    ReadoutSpec,
    WeightsInfo,
    pace_in_words,
    spec_as_dict,
)

__all__ = [
    "GROUP",
    "HOOKS",
    "KINDS",
    "LOGITS",
    "PROBABILITIES",
    "ClassifierInfo",
    "ClipFormat",
    "ComponentSpec",
    "DatasetSpec",
    "Entry",
    "ExtractorSpec",
    "FeatureInfo",
    "FusionSpec",
    "HeadSpec",
    "Kind",
    "Plugin",
    "ReadoutSpec",
    "Registry",
    "WeightsInfo",
    "class_names",
    "closest",
    "discover",
    "hookimpl",
    "installed",
    "label_set_of",
    "load_config",
    "load_target",
    "pace_in_words",
    "plain_label",
    "spec_as_dict",
]
