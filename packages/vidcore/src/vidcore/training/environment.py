"""What a run ran on, and whether a resumed run still runs on it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from vidcore.catalog import Kind, Registry
from vidcore.config import RunConfig
from vidcore.training.device import device_name

_LIBRARIES = (
    "av",
    "lightning-fabric",
    "numpy",
    "pydantic",
    "pytorchvideo",
    "safetensors",
    "scikit-learn",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
    "transformers",
)


def describe_environment(config: RunConfig, registry: Registry, device: torch.device) -> dict[str, Any]:
    """Versions of the core, of every plugin and of the libraries, Python, machine and device: plain data."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "vidcore": version("vidcore"),
        "plugins": {plugin.distribution: plugin.version for plugin in registry.plugins},
        "used_plugins": used_plugins(config, registry),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device_name(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two environments and can change a run's numbers, one line each."""
    pairs = [("vidcore", before["vidcore"], now["vidcore"])]
    for name in sorted(before["used_plugins"].keys() | now["used_plugins"].keys()):
        pairs.append((f"plugin {name}", before["used_plugins"].get(name), now["used_plugins"].get(name)))
    pairs.append(("torch", before["libraries"].get("torch"), now["libraries"].get("torch")))
    return [f"{what}: was {old or 'absent'}, is {new or 'absent'}" for what, old, new in pairs if old != new]


def missing_plugins(used: Mapping[str, str]) -> list[str]:
    """One line for each plugin (distribution -> version) that is not installed, with the command that installs it."""
    return [
        f"  the run used {name} {version}, which is not installed: pip install {name}"
        for name, version in used.items()
        if _version(name) is None
    ]


def used_plugins(config: RunConfig, registry: Registry) -> dict[str, str]:
    """Distribution -> version of the plugins that a run's parts come from."""
    named: list[tuple[Kind, Sequence[str]]] = [
        ("extractor", [choice.name for choice in config.extractors]),
        ("fusion", [config.fusion.name]),
        ("readout", [config.readout.name, *(head.readout.name for head in config.heads if head.readout)]),
        ("head", [head.name for head in config.heads] or [config.head.name]),
    ]
    plugins = [registry.find(kind, name)[0].plugin for kind, names in named for name in names]
    return {plugin.distribution: plugin.version for plugin in plugins}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
