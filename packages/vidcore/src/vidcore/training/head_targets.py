"""What the head, or each of several heads, of a run is asked about the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch

from vidcore.catalog import HeadSpec, Registry
from vidcore.config import RunConfig, component_config
from vidcore.config.run import Choice, HeadChoice
from vidcore.data._cells import LABEL
from vidcore.data.manifest import Row
from vidcore.data.targets import TargetKind, Targets, classes_in_order, several_targets, targets_for
from vidcore.errors import ConfigError
from vidcore.heads.base import TargetInfo
from vidcore.training.datasets import places_of


def run_targets(
    config: RunConfig,
    registry: Registry,
    rows: Sequence[Row],
    known: TargetInfo | None = None,
    only: str | None = None,
    orders: Mapping[str, Sequence[str]] | None = None,
) -> Targets:
    """What the head, or each of several, is to predict for ``rows``.

    Args:
        config: the run.
        registry: components.
        rows: of one source, or of several as ``together`` joins them.
        known: what a trained model was told; its classes then stay what they are.
        only: of several heads the one that the rows have targets for; by default all.
        orders: source -> its classes in the order of their indices, where it states one; else they are sorted.

    Raises:
        DataError: as ``targets_for``; or a head has no row.
    """
    if not config.heads:
        return _head_targets(config.head, registry, rows, known, (orders or {}).get(config.data.source, ()))
    parts: dict[str, tuple[list[int], Targets]] = {}
    for choice in config.heads:
        places = places_of(choice.source or config.data.source, rows)
        told = known.parts[choice.title] if known is not None else None
        if told is not None and only not in (None, choice.title):
            parts[choice.title] = ([], _no_targets(told))
            continue
        order = (orders or {}).get(choice.source or config.data.source, ())
        parts[choice.title] = (places, _head_targets(choice, registry, [rows[place] for place in places], told, order))
    return several_targets(parts, len(rows))


def _no_targets(told: TargetInfo) -> Targets:
    shape = (len(told.classes),) if told.kind == "multilabel" else told.shape
    return Targets(told.classes, torch.zeros(0, *shape), cast("TargetKind", told.kind), told.names)


def _head_targets(
    choice: Choice, registry: Registry, rows: Sequence[Row], known: TargetInfo | None, order: Sequence[str]
) -> Targets:
    spec = registry.get(HeadSpec, choice.name)
    options = component_config(spec, choice.options)
    classes = known.classes if known is not None and known.classes else None
    if classes is None and order and getattr(options, "column", LABEL) == LABEL:
        several = spec.targets == "multilabel" or bool(getattr(options, "multilabel", False))
        classes = classes_in_order(rows, order, several=several)
    return targets_for(spec.targets, rows, options, classes)


class Source(NamedTuple):
    """A source of rows; with ``labelled`` a head's targets are its labels, so that every row must have one."""

    name: str
    options: dict[str, Any]
    layout: str | None
    labelled: bool


def sources_of(config: RunConfig, registry: Registry) -> list[Source]:
    """Every source that the heads of a run read.

    Raises:
        ConfigError: two heads read one with different options.
    """
    found: dict[str, Source] = {}
    for choice in config.heads or (HeadChoice(**config.head.model_dump()),):
        source = choice.source or config.data.source
        options = choice.source_options if choice.source else config.data.options
        layout = choice.source_layout if choice.source else config.data.layout
        before = found.get(source, Source(source, options, layout, labelled=False))
        if before.options != options:
            raise ConfigError(f"two heads read {source} with different source_options: {before.options} and {options}")
        if before.layout != layout:
            raise ConfigError(f"two heads read {source} with different layouts: {before.layout} and {layout}")
        found[source] = before._replace(labelled=before.labelled or _reads_labels(choice, registry))
    return list(found.values())


def _reads_labels(choice: Choice, registry: Registry) -> bool:
    spec = registry.get(HeadSpec, choice.name)
    options = component_config(spec, choice.options)
    return spec.targets in ("class", "multilabel") and getattr(options, "column", "label") == "label"
