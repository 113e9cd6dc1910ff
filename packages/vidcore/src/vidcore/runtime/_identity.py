"""What a compiled network and a choice of engine depend on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vidcore.extractors.base import Extractor

_LIBRARIES = ("vidcore", "torch", "torchvision", "openvino", "nncf")


def describe(extractor: Extractor, weights: str, tensors: list[Tensor], precision: str, threads: int) -> dict[str, Any]:
    """Model, weights, shapes, precision and machine, as plain JSON data."""
    plugin = extractor.spec.target.partition(":")[0].partition(".")[0]
    return {
        "model": extractor.spec.name,
        "numerics_revision": extractor.spec.numerics_revision,
        "options": extractor.config.model_dump(mode="json", exclude={"weights", "adapt_weights", "classes"}),
        "weights": weights,
        "inputs": [[list(t.shape), str(t.dtype).removeprefix("torch."), t.device.type] for t in tensors],
        "precision": precision,
        "machine": machine(tensors[0].device, threads),
        "versions": {name: _version(name) for name in (*_LIBRARIES, plugin)},
    }


def machine(device: torch.device, threads: int) -> dict[str, Any]:
    """The hardware that decides which engine is fastest."""
    return {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": threads,
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "compiler": shutil.which(os.environ.get("CXX", "g++")) is not None,
    }


def digest(identity: Any) -> str:
    """SHA-256 of plain JSON data."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of a module's parameters and buffers, those that are not saved included."""
    named = sorted([*module.named_parameters(), *module.named_buffers()], key=lambda pair: pair[0])
    found = hashlib.sha256("\n".join(name for name, _ in named).encode())
    return tensors_digest((tensor for _, tensor in named), found)


def tensors_digest(tensors: Iterable[Tensor], found: Any = None) -> str:
    """SHA-256 of types, shapes and bytes."""
    found = found or hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        plain = tensor.detach().cpu().contiguous().flatten()
        if plain.numel():
            content: Any = plain.view(torch.uint8).numpy()
            found.update(memoryview(content))
    return str(found.hexdigest())


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    # Linux leaves platform.processor() empty.
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
