"""Configuration and registry to modules; wiring is checked before any forward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vidcore.catalog import (
    ExtractorSpec,
    FeatureInfo,
    FusionSpec,
    HeadSpec,
    ReadoutSpec,
    Registry,
    installed,
    load_target,
)
from vidcore.config import Choice, RunConfig, component_config
from vidcore.config.run import with_weights
from vidcore.errors import ConfigError, PluginError, WiringError
from vidcore.extractors.base import Extractor
from vidcore.extractors.freezing import normalisers, train_last_blocks, untrained_modules
from vidcore.extractors.lora import add_lora
from vidcore.features import ReadoutInfo
from vidcore.fusion.base import Fusion
from vidcore.heads._fitted import Fitted
from vidcore.heads.base import FittedHead, Head, TargetInfo
from vidcore.heads.several import SeveralHeads
from vidcore.model import VideoModel
from vidcore.readouts.base import Readout
from vidcore.readouts.several import SeveralReadouts
from vidcore.standardise import Standardise
from vidcore.weights import load_weights


def create(name: str, *, registry: Registry | None = None, **options: Any) -> Extractor:
    """Build an extractor by name, with its weights where a tag or ``weights=`` asks for some.

    ``create("dinov2/vits14")`` has random weights; ``create("dinov2/vits14.lvd142m")``,
    ``create("dinov2/vits14", weights="file.safetensors")`` and ``create("dinov2/vits14=file.safetensors")`` load them.
    What was loaded is kept as ``extractor.weights_report``, and in one line as ``extractor.weights_line``.

    Raises:
        UnknownNameError: no extractor of that name.
        ConfigError: an unknown or wrong option, or weights named twice.
        WeightsError: the weights are absent or do not fit.
    """
    extractor = _build(name, registry or installed(), options)
    if extractor.config.weights:
        load_weights(extractor, extractor.config.weights)
    return extractor.eval()


def _build(name: str, registry: Registry, options: dict[str, Any]) -> Extractor:
    """The extractor with initial weights; those it asks for are named in its config and not loaded."""
    name, file = with_weights(name)
    entry, tag = registry.find("extractor", name)
    spec = entry.spec
    if not isinstance(spec, ExtractorSpec):
        raise PluginError(f"extractor {name!r} is declared as {type(spec).__name__}")
    if file:
        if options.get("weights") not in (None, file):
            raise ConfigError(f"extractor {name!r} names weights {file!r}, and options name {options['weights']!r}")
        options = {**options, "weights": file}
    if tag:
        if options.get("weights") not in (None, tag):
            raise ConfigError(f"extractor {name!r} names weights {tag!r}, and options name {options['weights']!r}")
        options = {**options, "weights": tag}
    config = component_config(spec, options)
    extractor = load_target(spec)(spec, config)
    if not isinstance(extractor, Extractor):
        raise PluginError(f"extractor {spec.name!r}: {spec.target} does not derive from vidcore.extractors.Extractor")
    return extractor


def assemble(
    config: RunConfig,
    targets: TargetInfo,
    registry: Registry | None = None,
    *,
    with_weights: bool = True,
    built: Mapping[str, Extractor] | None = None,
) -> VideoModel:
    """The model that a run configuration describes.

    Args:
        config: the run; only its parts are read.
        targets: what the head predicts.
        registry: components; by default those installed.
        with_weights: ``False`` leaves published weights unloaded and their files unread: for a model whose own
            trained weights are loaded next.
        built: extractors by stream that are there already; frozen ones can be shared by several models.

    Raises:
        UnknownNameError, ConfigError, WiringError, WeightsError: before any forward, naming the part.
    """
    registry = registry or installed()
    extractors: dict[str, Extractor] = {}
    frozen = set()
    held: list[nn.Module] = []
    for choice in config.extractors:
        stream = _free_name(choice.name, extractors)
        if built is not None and stream in built:
            extractor = built[stream]
        elif with_weights:
            extractor = create(choice.name, registry=registry, **choice.options)
        else:
            extractor = _build(choice.name, registry, choice.options).eval()
        extractors[stream] = extractor
        if choice.unfreeze_blocks is not None:
            train_last_blocks(extractor, choice.unfreeze_blocks, stream)
            held += untrained_modules(extractor)
        elif choice.lora is not None:
            add_lora(extractor, choice.lora, stream)
            held += normalisers(extractor)
        elif choice.freeze if choice.freeze is not None else _is_settled(extractor):
            frozen.add(stream)
    streams = {name: e.outputs[e.output_names[0]] for name, e in extractors.items()}
    fusion: Fusion = _part(FusionSpec, config.fusion.name, config.fusion.options, registry, streams)
    readout: Readout = _part(ReadoutSpec, config.readout.name, config.readout.options, registry, fusion.output)
    scaled = Standardise(
        {name: info.dim for name, info in streams.items() if config.train.standardise and name in frozen}
    )
    if config.heads:
        several, heads = _several(config, targets, registry, fusion.output, readout)
        return VideoModel(extractors, fusion, several, heads, frozenset(frozen), held, scaled)
    head = _head(config.head, registry, readout.output, targets)
    return VideoModel(extractors, fusion, readout, head, frozenset(frozen), held, scaled)


def check_wiring(config: RunConfig, registry: Registry | None = None) -> bool:
    """Refuse parts that do not fit each other, before data are read: everything up to the head, without memory.

    Returns:
        Whether fusion or readout read the grid (H, W) of the features beyond its mean.

    Raises:
        UnknownNameError, ConfigError, WiringError: naming the part.
    """
    registry = registry or installed()
    extractors: dict[str, Extractor] = {}
    with torch.device("meta"):
        for choice in config.extractors:
            extractors[_free_name(choice.name, extractors)] = _build(choice.name, registry, choice.options)
        streams = {name: e.outputs[e.output_names[0]] for name, e in extractors.items()}
        fusion: Fusion = _part(FusionSpec, config.fusion.name, config.fusion.options, registry, streams)
        readout: Readout = _part(ReadoutSpec, config.readout.name, config.readout.options, registry, fusion.output)
    return fusion.spatial or readout.spatial


def _is_settled(extractor: Extractor) -> bool:
    """Whether it has published weights, or nothing that could be trained."""
    return bool(extractor.config.weights) or not any(True for _ in extractor.parameters())


def _head(choice: Choice, registry: Registry, features: ReadoutInfo, targets: TargetInfo) -> Head:
    spec = registry.get(HeadSpec, choice.name)
    if spec.fitted:
        fitted: FittedHead = _part(HeadSpec, choice.name, choice.options, registry, targets)
        return Fitted(fitted, features)
    trained: Head = _part(HeadSpec, choice.name, choice.options, registry, features, targets)
    return trained


def _several(
    config: RunConfig, targets: TargetInfo, registry: Registry, features: FeatureInfo, shared: Readout
) -> tuple[SeveralReadouts, SeveralHeads]:
    """Several heads, each with the readout that they share or with its own."""
    readouts: dict[str, Readout] = {}
    heads: dict[str, Head] = {}
    for choice in config.heads:
        readout, own = shared, choice.readout
        if own is not None:
            readout = _part(ReadoutSpec, own.name, own.options, registry, features)
        told = targets.parts[choice.title]
        readouts[choice.title] = readout
        heads[choice.title] = _head(choice, registry, readout.output, told)
        if isinstance(heads[choice.title], Fitted):
            raise WiringError(f"head {choice.name!r} is fitted in one go and cannot be trained beside others; "
                              f"train it alone: --head {choice.name}")  # fmt: skip
    weights = {choice.title: choice.weight for choice in config.heads}
    return SeveralReadouts(readouts), SeveralHeads(heads, weights, targets)


def _part(kind: Any, name: str, options: dict[str, Any], registry: Registry, *inputs: Any) -> Any:
    spec = registry.get(kind, name)
    return load_target(spec)(spec, component_config(spec, options), *inputs)


def _free_name(name: str, taken: dict[str, Extractor]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}#{number}", number + 1
    return candidate
