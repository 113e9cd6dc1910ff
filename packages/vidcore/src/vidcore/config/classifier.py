"""Runs that read an extractor's published classifier: what their head needs is filled in from the extractor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vidcore.catalog import ExtractorSpec, HeadSpec, Registry, installed, label_set_of
from vidcore.config.loading import read_yaml
from vidcore.config.run import Choice, ExtractorChoice, RunConfig
from vidcore.errors import ConfigError, UnknownNameError, WiringError


def names_extractor(run: str | os.PathLike[str], registry: Registry | None = None) -> bool:
    """Whether this is an extractor's name rather than a folder."""
    if Path(run).exists():
        return False
    try:
        (registry or installed()).find("extractor", str(run))
    except UnknownNameError:
        return False
    return True


def with_classifier(config: RunConfig, registry: Registry) -> RunConfig:
    """The configuration with what its ``published`` head needs filled in: the extractor's output, class names, the map.

    Any other configuration is given back as it is.

    Raises:
        ConfigError: the extractor has no classifier or no weights, or the label map cannot be read.
        WiringError: not one extractor, or several heads.
    """
    if any(_published(choice, registry) for choice in config.heads):
        raise WiringError("a head that reads the published classifier cannot be trained beside others; use it alone")
    if config.heads or not _published(config.head, registry):
        return config
    if len(config.extractors) != 1:
        raise WiringError(
            f"head {config.head.name!r} reads the classifier of one extractor; the run has {len(config.extractors)}"
        )
    choice = config.extractors[0]
    spec, weights = _spec(choice, registry)
    label_set = label_set_of(spec, weights, choice.options.get("classes"))
    if not weights:
        tag = next((info.tag for info in spec.weights if info.classes), None)
        named = f"{spec.name}.{tag}, or " if tag else ""
        raise ConfigError(f"head {config.head.name!r} needs published weights: name {named}a file, weights=FILE")
    assert spec.classifier is not None  # label_set_of has seen to it
    averages = spec.classifier.averages
    options = {"classes": label_set, "averages": averages, **config.head.options}
    if isinstance(options.get("label_map"), (str, Path)):
        options["label_map"] = read_label_map(options["label_map"])
    extractor = choice.model_copy(update={"options": {**choice.options, "outputs": [averages]}})
    head = config.head.model_copy(update={"options": options})
    # Logits and probabilities mean what they are: standardised by the training rows they would be others.
    train = config.train.model_copy(update={"standardise": False})
    return config.model_copy(update={"extractors": (extractor,), "head": head, "train": train})


def has_classifier(choice: ExtractorChoice, registry: Registry) -> bool:
    """Whether the weights of an extractor have a classifier that ``with_classifier`` can read."""
    spec, weights = _spec(choice, registry)
    try:
        return bool(label_set_of(spec, weights, choice.options.get("classes"))) and bool(weights)
    except ConfigError:
        return False


def read_label_map(path: str | Path) -> dict[str, Any]:
    """A YAML or JSON file: label of the data -> published class, or a list of them.

    Raises:
        ConfigError: the file is no such mapping.
    """
    return {str(label): names for label, names in read_yaml(Path(path)).items()}


def _published(choice: Choice, registry: Registry) -> bool:
    return registry.get(HeadSpec, choice.name).published


def _spec(choice: ExtractorChoice, registry: Registry) -> tuple[ExtractorSpec, str | None]:
    entry, tag = registry.find("extractor", choice.name)
    spec = entry.spec
    if not isinstance(spec, ExtractorSpec):
        raise ConfigError(f"{choice.name!r} is no extractor")
    return spec, choice.options.get("weights") or tag
