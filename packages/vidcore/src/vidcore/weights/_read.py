"""Published files to flat dicts of tensors under their published names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from vidcore.errors import WeightsError
from vidcore.weights._averages import AVERAGED_WRAPPERS, averaged_by_mmengine, over_raw, take_averaged
from vidcore.weights._checkpoint import read_checkpoint
from vidcore.weights._files import shards

# Where published checkpoints keep the network's tensors, beside optimizer states and options.
_WRAPPERS = ("model_state", "state_dict", "model_state_dict", "model", "module")
# DistributedDataParallel and torch.compile put these before every name.
_PREFIXES = ("module.", "_orig_mod.")


@dataclass(frozen=True, slots=True)
class Published:
    """The content of a weights file: tensors on the CPU, and what a safetensors header says of them."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    averaged: str = ""
    """Where the file keeps the averages that stand here instead of the raw weights; empty: it keeps none."""


def read_published(path: Path) -> Published:
    """Read a weights file, whatever its suffix; the format is told from its first bytes.

    Takes safetensors, ``torch.save`` files (zip and older), and the ``*.index.json`` of sharded ones.
    Wrappers (``model_state``, ``state_dict``, ``model``, ...) and the prefixes of DistributedDataParallel
    and ``torch.compile`` are removed; tensors of other nested dicts get dotted names. Of a network that is there
    twice, as trained and averaged, the averages are given.

    Raises:
        WeightsError: absent, empty, damaged, not a weights file, or it holds no tensors.
    """
    published = _read(path)
    if not published.tensors:
        raise WeightsError(f"{path} holds no tensors")
    try:
        tensors, prefix = take_averaged(published.tensors)
    except ValueError as exc:
        raise WeightsError(f"{path}: {exc}") from exc
    if prefix:
        published = Published(tensors, published.metadata, prefix.rstrip("."))
    return published


def _read(path: Path) -> Published:
    if path.suffix == ".json":
        parts = [_read(part).tensors for part in shards(path)]
        return Published({name: tensor for part in parts for name, tensor in part.items()})
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as exc:
        raise WeightsError(f"cannot read {path}: {exc.strerror or exc}") from exc
    _refuse_text(path, head)
    # A safetensors file is 8 bytes of length and a JSON header.
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return _read_safetensors(path)
    tensors, averaged = unwrap(read_checkpoint(path))
    return Published(tensors, averaged=averaged)


def _refuse_text(path: Path, head: bytes) -> None:
    if not head:
        raise WeightsError(f"{path} is empty")
    start = head.lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the file itself; get it with: git lfs pull")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(
            f"{path} is a web page, not weights: the download answered with a page (a login, a quota, an error)"
        )


def _read_safetensors(path: Path) -> Published:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as exc:
        raise WeightsError(f"{path} is not a whole safetensors file ({path.stat().st_size:,} bytes): {exc}") from exc
    return Published(_without_prefixes(tensors), metadata)


def unwrap(content: Any) -> tuple[dict[str, Tensor], str]:
    """The network's tensors out of a checkpoint's wrappers, by dotted names, and where averages were found.

    No tensors where there are none.
    """
    while isinstance(content, Mapping):
        inner = next((content[key] for key in _WRAPPERS if _holds_tensors(content.get(key))), None)
        average = next((key for key in AVERAGED_WRAPPERS if _holds_tensors(content.get(key))), "")
        if inner is None and not average:
            return _without_prefixes(dict(_flat(content, ""))), ""
        if average and averaged_by_mmengine(content):
            return unwrap(inner)[0], "state_dict, as mmengine saves it"
        if average:
            # Beside the averages lie counts: n_averaged, steps, decay.
            averages = unwrap({n: v for n, v in content[average].items() if not _is_number(v)})[0]
            if inner is None:
                return averages, average
            raw = unwrap(inner)[0]
            merged = over_raw(raw, averages)
            return (raw, "") if merged is None else (merged, average)
        content = inner
    return {}, ""


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and next(_flat(value, ""), None) is not None


def _flat(content: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value.detach()
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES * 2:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
