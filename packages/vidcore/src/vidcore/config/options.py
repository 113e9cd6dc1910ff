"""From a component's spec and loose options to its validated config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from vidcore.catalog import ComponentSpec, load_config
from vidcore.config.component import ComponentConfig
from vidcore.config.messages import explain
from vidcore.errors import ConfigError, PluginError


def component_config(spec: ComponentSpec, options: Mapping[str, Any]) -> ComponentConfig:
    """Validate ``options`` for the component that ``spec`` declares.

    Raises:
        ConfigError: an option is unknown or wrong; one line per option.
        PluginError: the spec's config is not a ``ComponentConfig``.
    """
    config = load_config(spec)
    if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
        raise PluginError(
            f"{spec.kind} {spec.name!r}: {spec.config} is not a subclass of vidcore.config.ComponentConfig"
        )
    try:
        return config(**options)
    except ValidationError as exc:
        lines = explain(exc, config).replace("\n", "\n  ")
        raise ConfigError(f"{spec.kind} {spec.name!r}:\n  {lines}\n  its options: vidcore info {spec.name}") from exc
