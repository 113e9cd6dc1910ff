"""The published classifier of an extractor as a head: its class names are matched to the data's."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vidcore.catalog import HeadSpec, class_names, plain_label
from vidcore.errors import ConfigError, ShapeError, WiringError
from vidcore.heads.base import FittedHead, TargetInfo
from vidcore.heads.config import PublishedConfig

Array = npt.NDArray[Any]


class Published(FittedHead):
    """What the authors' classifier says of the data's classes; nothing is trained or fitted.

    The probability of a class of the data is the sum over the published classes that stand for it, divided by the sum
    over all classes of the data. One that no published class stands for has probability 0.

    Input   (N, K): mean logits or mean probabilities of the K published classes
    Output  probabilities (N, C)

    Raises:
        WiringError: no published class stands for any class of the data.
        ConfigError: ``label_map`` names a class that the classifier does not know.
    """

    config: PublishedConfig

    def __init__(self, spec: HeadSpec, config: PublishedConfig, targets: TargetInfo) -> None:
        super().__init__(spec, config, targets)
        self.names = published_names(config)
        self.matches = matched(targets.classes, self.names, config.label_map)
        if not any(self.matches.values()):
            raise WiringError(
                f"head {spec.name!r}: no class of {_title(config)} is called like one of the data's: "
                f"{', '.join(targets.classes[:8])}{', ...' if len(targets.classes) > 8 else ''}\n"
                "  say which stand for them: a YAML file with lines 'label: class name' or 'label: [name, name]', as "
                "label_map=FILE"
            )
        self._stands_for = np.zeros((len(self.names), len(targets.classes)))
        for column, label in enumerate(targets.classes):
            self._stands_for[list(self.matches[label]), column] = 1

    def fit(self, features: Array, targets: Array) -> None:
        """Nothing: the classifier is tested as it was published."""

    def predict(self, features: Array) -> Array:
        """Class probabilities (N, C) for features (N, K).

        Raises:
            ShapeError: K is not the number of published classes.
        """
        if features.ndim != 2 or features.shape[1] != len(self.names):
            raise ShapeError(
                f"head {self.spec.name!r} reads the answers for {len(self.names)} classes; got {features.shape}"
            )
        rows = np.asarray(features, dtype=np.float64)
        chances = _softmax(rows) if self.config.averages == "logits" else rows
        found: Array = chances @ self._stands_for
        totals = found.sum(1, keepdims=True)
        known = self._stands_for.any(0)
        answers: Array = np.where(totals > 0, found / np.where(totals > 0, totals, 1), known / known.sum())
        return answers

    def state(self) -> dict[str, Array]:
        """Nothing is fitted, so nothing is kept."""
        return {}

    def load_state(self, state: dict[str, Array]) -> None:
        """Nothing to take back."""


def published_names(config: PublishedConfig) -> tuple[str, ...]:
    """The class names that the options name or list."""
    return class_names(config.classes) if isinstance(config.classes, str) else config.classes


def matched(
    labels: Sequence[str], names: Sequence[str], label_map: Mapping[str, str | tuple[str, ...]] | None
) -> dict[str, tuple[int, ...]]:
    """Label of the data -> places of the published classes that stand for it; none where nothing does.

    Names are the same whatever their case, and whether they have spaces, underscores or hyphens. Of a name with
    synonyms ('tench, Tinca tinca') each counts.

    Raises:
        ConfigError: ``label_map`` names a class that is not among ``names``.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(plain_label(name), place)
    for place, name in enumerate(names):
        for synonym in name.split(", "):
            places.setdefault(plain_label(synonym), place)
    given = {plain_label(label): _several(value) for label, value in (label_map or {}).items()}
    for label, wanted in given.items():
        for name in wanted:
            if plain_label(name) not in places:
                near = difflib.get_close_matches(plain_label(name), places, 3, 0.5)
                hint = f"; did you mean {', '.join(repr(names[places[one]]) for one in near)}?" if near else ""
                raise ConfigError(f"label_map: {label!r} is to be {name!r}, which is no published class{hint}")
    found = {}
    for label in labels:
        wanted = given.get(plain_label(label), (label,))
        found[label] = tuple(dict.fromkeys(places[plain_label(n)] for n in wanted if plain_label(n) in places))
    return found


def match_notes(config: PublishedConfig, labels: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Which published classes stand for the data's, and how many clips have a label that none stands for."""
    names = published_names(config)
    found = matched(labels, names, config.label_map)
    pairs = [f"{label} = {' or '.join(names[i] for i in at)}" for label, at in found.items() if at]
    notes = [f"published classes: {'; '.join(pairs[:20])}{'; ...' if len(pairs) > 20 else ''}"]
    lost = [(label, count) for label, count in zip(labels, counts, strict=True) if not found[label]]
    if lost:
        told = ", ".join(f"{label} ({count})" for label, count in lost[:10]) + (", ..." if len(lost) > 10 else "")
        notes.append(
            f"{sum(count for _, count in lost)} of {sum(counts)} clips count as wrong: no class of {_title(config)} "
            f"stands for {told}; name one in label_map"
        )
    return notes


def _several(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _title(config: PublishedConfig) -> str:
    return config.classes if isinstance(config.classes, str) else "the classifier"


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    chances: Array = raised / raised.sum(1, keepdims=True)
    return chances
