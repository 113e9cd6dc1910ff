"""A run configuration from a YAML file, command-line choices and ``key=value`` overrides."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vidcore.config.fields import keys_ending_in
from vidcore.config.messages import explain
from vidcore.config.run import RunConfig
from vidcore.errors import ConfigError


def build_run_config(
    file: Path | None = None, choices: Mapping[str, Any] | None = None, overrides: Sequence[str] = ()
) -> RunConfig:
    """Later sources win: the file, then ``choices``, then ``overrides`` (``train.epochs=3``).

    Raises:
        ConfigError: the file is not a YAML mapping, an override has no ``=``, or a key is unknown or wrong.
    """
    # From the defaults, so that an override can reach into a part that nothing else named.
    tree = _merged(RunConfig().model_dump(mode="json"), read_yaml(file) if file else {})
    tree = copy.deepcopy(_merged(tree, choices or {}))  # overrides are written into it
    for override in overrides:
        _override(tree, override)
    return run_config(tree)


def run_config(tree: Mapping[str, Any]) -> RunConfig:
    """Validate plain data as a run configuration; see ``build_run_config`` for what is raised."""
    try:
        return RunConfig.model_validate(dict(tree))
    except ValidationError as exc:
        raise ConfigError(explain(exc, RunConfig, elsewhere=keys_ending_in)) from exc


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML mapping, read safely.

    Raises:
        ConfigError: the file cannot be read or is not a mapping.
    """
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigError(f"cannot read the configuration {file}: {exc}") from exc
    if not isinstance(tree, dict):
        raise ConfigError(f"the configuration {file} is not a mapping of keys to values")
    return tree


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping) and not _renames(before, value):
            result[key] = _merged(before, value)
        else:
            result[key] = value
    return result


def _renames(before: Mapping[str, Any], over: Mapping[str, Any]) -> bool:
    """Whether ``over`` chooses another component, for which the options of ``before`` mean nothing."""
    return "name" in over and over["name"] != before.get("name")


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{override!r} is not of the form key=value, for example train.epochs=3")
    if key == "weights":
        extractors = tree.get("extractors") or ()
        if len(extractors) != 1:
            keys = ", ".join(f"extractors.{number}.options.weights" for number in range(len(extractors)))
            raise ConfigError(f"{override!r}: there are {len(extractors)} extractors; say whose: {keys}")
        key = "extractors.0.options.weights"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ConfigError(f"the value of {override!r} is not valid YAML: {exc}") from exc
    node: Any = tree
    *parents, last = key.split(".")
    for part in parents:
        node = _child(node, part, key)
    if isinstance(node, list):
        node[_index(node, last, key)] = value
    else:
        node[last] = value


def _child(node: Any, part: str, key: str) -> Any:
    if isinstance(node, list):
        if part == str(len(node)) and key.endswith(f"{part}.name"):
            # A name begins the next one: heads.1.name=regression after heads.0.name=classification.
            node.append({})
        return node[_index(node, part, key)]
    child = node.setdefault(part, {})
    if child is None:
        # A section that is left out, such as an extractor's low-rank adapters.
        child = node[part] = {}
    if not isinstance(child, (dict, list)):
        raise ConfigError(f"'{key}': '{part}' is a plain value and has no keys below it")
    return child


def _index(node: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise ConfigError(f"'{key}': {part!r} is not an index from 0 to {len(node) - 1}")
    return int(part)
