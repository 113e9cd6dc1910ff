"""Published files to flat dicts of tensors; nothing is unpickled but tensors and plain data."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vidcore.errors import WeightsError

# Where published checkpoints keep the network's tensors, beside optimizer states and options.
_WRAPPERS = ("model_state", "state_dict", "model_state_dict", "model", "module")
# DistributedDataParallel and torch.compile put these before every name.
_PREFIXES = ("module.", "_orig_mod.")
# What torch.load raises for bytes that are no checkpoint, or only the first half of one.
_UNREADABLE = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    struct.error,
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by their published names."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise WeightsError(f"{path} is empty")
    if head[8:9] == b"{":
        try:
            tensors = load_file(path)
        except SafetensorError as exc:
            raise WeightsError(f"{path} is not a whole safetensors file: {exc}") from exc
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except _UNREADABLE as exc:
            raise WeightsError(f"{path} is not a weights file: {exc}") from exc
        tensors = unwrap(content)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors")
    return tensors


def unwrap(content: Any) -> dict[str, Tensor]:
    """The network's tensors out of a checkpoint's wrappers."""
    while isinstance(content, Mapping):
        inner = next((content[k] for k in _WRAPPERS if isinstance(content.get(k), Mapping)), None)
        if inner is None:
            break
        content = inner
    tensors = dict(_flat(content, "")) if isinstance(content, Mapping) else {}
    for prefix in _PREFIXES:
        while tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _flat(content: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value.detach()
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
