"""From names and ``key=value`` texts to cells, and to what all of them have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from vidcore.analysis.comparison.cells import Cell, Combination
from vidcore.catalog import ClipFormat, ExtractorSpec, HeadSpec, Registry
from vidcore.config import Choice, ExtractorChoice, RunConfig, build_run_config, read_yaml
from vidcore.config.classifier import has_classifier
from vidcore.config.messages import explain
from vidcore.config.run import with_weights
from vidcore.data.sampling import Sampling
from vidcore.errors import ConfigError
from vidcore.training.device import chosen_precision

FOLDS = 5
_PARTS = ("extractors", "fusion", "readout", "head", "out", "name")

Settings = dict[str, dict[str, Any]]
"""Component name -> fields of its choice: ``options``, ``freeze``, ``lora``."""
C = TypeVar("C", bound=Choice)


def divide(overrides: Sequence[str], names: Iterable[str]) -> tuple[list[str], Settings]:
    """Overrides of the base (``train.epochs=3``) apart from those of components (``NAME.options.KEY=VALUE``).

    Raises:
        ConfigError: an override of what differs between rows, or of nothing that a choice has.
    """
    known = sorted({with_weights(name)[0] for name in names}, key=len, reverse=True)
    base: list[str] = []
    settings: Settings = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        name = next((name for name in known if key.startswith(f"{name}.")), None)
        if name is not None and equals:
            _set(settings.setdefault(name, {}), key[len(name) + 1 :], text, override)
        elif key.split(".")[0] in _PARTS:
            raise ConfigError(
                f"{override!r}: the rows of a comparison differ in this; options of one component are given "
                "with its name: NAME.options.KEY=VALUE, for example basic/naive_cnn.options.width=64"
            )
        else:
            base.append(override)
    return base, settings


def combinations(texts: Sequence[str], settings: Settings) -> list[Combination]:
    """``A`` is one extractor and ``A+B`` a fused combination of two.

    Raises:
        ConfigError: an empty name, a field that an extractor's choice does not have.
    """
    found = []
    for text in texts:
        names = names_of(text)
        if not all(names):
            raise ConfigError(f"{text!r} is no extractor: write A for one and A+B for two that are fused")
        found.append(tuple(_choice(ExtractorChoice, name, settings) for name in names))
    return found


def without_classifier(cells: Sequence[Cell], registry: Registry) -> tuple[list[Cell], list[str]]:
    """Leave out the rows of a head that reads a published classifier whose extractors have none, and say which.

    Raises:
        ConfigError: no row is left.
    """
    kept, left = [], {}
    for cell in cells:
        if not registry.get(HeadSpec, cell.head.name).published:
            kept.append(cell)
        elif len(cell.extractors) > 1 or not has_classifier(cell.extractors[0], registry):
            left[" + ".join(choice.name for choice in cell.extractors)] = cell.head.name
        else:
            # What reads the answers is their mean, whatever other rows read the features with.
            kept.append(replace(cell, readout=Choice(name="mean")))
    if left and not kept:
        names = ", ".join(left)
        raise ConfigError(
            f"head {next(iter(left.values()))!r} reads the published classifier of one extractor, and {names} "
            f"{'has' if len(left) == 1 else 'have'} none; name published weights: i3d/inception.k400, or "
            "NAME.options.weights=FILE"
        )
    unique = list({cell.slug: cell for cell in kept}.values())
    return unique, [f"no row {name}, {head}: it has no published classifier" for name, head in left.items()]


def names_of(text: str) -> list[str]:
    """The extractors in ``A+B``."""
    return [name.strip() for name in text.split("+")]


def choices(names: Sequence[str], default: str, settings: Settings) -> list[Choice]:
    """Fusions, readouts or heads by name; ``default`` where none is named.

    Raises:
        ConfigError: a field that only an extractor's choice has.
    """
    return [_choice(Choice, name, settings) for name in names or [default]]


def given(
    data: str | None, folds: int | str | None, more: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, dict[str, Any]]:
    """What was asked for, as the sections ``data`` and ``train``; 0 folds are one split."""
    sections = {name: dict((more or {}).get(name, {})) for name in ("data", "train")}
    if data is not None:
        sections["data"]["source"] = data
    if folds is not None:
        sections["train"]["folds"] = folds or None
    return sections


def default_folder(file: Path | None, sections: Mapping[str, Mapping[str, Any]]) -> Path:
    """``comparisons/<data>``."""
    source = sections["data"].get("source") or _section(file, "data").get("source", RunConfig().data.source)
    return Path("comparisons") / Path(source).stem


def base_config(
    file: Path | None,
    given: Mapping[str, Any],
    overrides: Sequence[str],
    before: RunConfig | None,
    found: Sequence[Combination],
    registry: Registry,
) -> RunConfig:
    """The configuration that all rows share, with every choice made that a row could make in its own way.

    Args:
        file: a YAML file; without one, what is not given is as in ``before``.
        given: sections ``data`` and ``train``.
        overrides: ``key=value``.
        before: the base of the rows that are there.
        found: the extractors asked for; where they share their frames, they decide how many.
        registry: components.

    Raises:
        ConfigError: an unknown or wrong key.
    """
    started: dict[str, Any] = {"train": {"folds": FOLDS, "refit": False} | _section(file, "train")}
    if file is None and before is not None:
        started = before.model_dump(mode="json", include={"augment", "data", "train"})
    tree = {name: {**started.get(name, {}), **given.get(name, {})} for name in ("augment", "data", "train")}
    config = build_run_config(file, tree, overrides)
    source, data = Path(config.data.source), config.data
    asked = Sampling.asked(data, _formats(found, registry))
    return config.model_copy(
        update={
            "data": data.model_copy(
                update={
                    # A path means the same from wherever rows are added.
                    "source": str(source.absolute()) if source.exists() else data.source,
                    "sampling": asked.kind,
                    "frames": None if asked.kind == "published" else asked.frames,
                    # One row that trains its extractor and one that does not would see other frames by default.
                    "jitter": bool(data.jitter),
                }
            ),
            "train": config.train.model_copy(update={"precision": chosen_precision(config.train)}),
        }
    )


def _section(file: Path | None, name: str) -> dict[str, Any]:
    found = read_yaml(file).get(name) if file else None
    return found if isinstance(found, dict) else {}


def _formats(found: Sequence[Combination], registry: Registry) -> list[ClipFormat]:
    """The clip that each extractor takes."""
    formats = []
    for choice in {choice.name: choice for combination in found for choice in combination}.values():
        entry, tag = registry.find("extractor", choice.name)
        if isinstance(entry.spec, ExtractorSpec):
            chosen = choice.options.get("weights") or tag
            formats.append(next((w.clip for w in entry.spec.weights if w.tag == chosen and w.clip), entry.spec.clip))
    return formats


def _choice(kind: type[C], name: str, settings: Settings) -> C:
    try:
        return kind(name=name, **settings.get(with_weights(name)[0], {}))
    except ValidationError as exc:
        raise ConfigError(explain(exc, kind, f"{name}.")) from exc


def _set(choice: dict[str, Any], path: str, text: str, override: str) -> None:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(f"the value of {override!r} is not valid YAML: {exc}") from exc
    *parents, last = path.split(".")
    for parent in parents:
        choice = choice.setdefault(parent, {})
        if not isinstance(choice, dict):
            raise ConfigError(f"{override!r}: '{parent}' was given a plain value before, and has no keys below it")
    choice[last] = value
