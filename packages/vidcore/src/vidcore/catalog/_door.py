"""The only door from cold to hot: importing what a spec points at."""

from __future__ import annotations

import importlib
from typing import Any

from vidcore.catalog._specs import ComponentSpec
from vidcore.errors import PluginError


def load_target(spec: ComponentSpec) -> Any:
    """The class (or function) that ``spec.target`` names.

    Raises:
        PluginError: its module fails to import or has no such name.
    """
    return _load(spec, spec.target)


def load_config(spec: ComponentSpec) -> Any:
    """The options class that ``spec.config`` names; errors as ``load_target``."""
    return _load(spec, spec.config)


def _load(spec: ComponentSpec, path: str) -> Any:
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as exc:
        raise PluginError(
            f"{spec.kind} {spec.name!r} cannot be built: importing {module_name} failed ({type(exc).__name__}: {exc})"
        ) from exc
    if not hasattr(module, attribute):
        raise PluginError(f"{spec.kind} {spec.name!r} points at {path}, and {module_name} has no {attribute!r}")
    return getattr(module, attribute)
